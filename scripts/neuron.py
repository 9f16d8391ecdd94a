r"""Shows one neuron of a study: when it fires, on what, what it writes, and the text around its peaks.

    python scripts/neuron.py --study=studies/demo --layer=2 --neuron=3
    python scripts/neuron.py --study=studies/demo --layer=2 --sort=-mutual_information
    python scripts/neuron.py --study=studies/opt-125m --token=" the"

Without --neuron it lists neurons, of one layer with --layer; with --token, the detectors of a token. Takes two
seconds.
"""

import json

from absl import flags

import jaxneurons
from jaxneurons import errors
from jaxneurons.command import common_flags, script

_STUDY = common_flags.required("study", "DIR", common_flags.STUDY)
_REMOTE_SECONDS = common_flags.remote_seconds()
_LAYER = flags.DEFINE_integer(
    "layer",
    None,
    "Layer of the model, from 0. Default: neurons of all layers are listed.",
)
_NEURON = flags.DEFINE_integer(
    "neuron", None, "Neuron of --layer to show, from 0. Default: neurons are listed."
)
_TOKEN = flags.DEFINE_string(
    "token",
    None,
    'Token whose detectors are listed, as a person reads it: " the" with its space.',
)
_SORT = flags.DEFINE_string(
    "sort",
    None,
    "Column to sort the list by, with a minus sign before it the highest first. Default: the list is in "
    "the model's order.",
)
_ROWS = flags.DEFINE_integer(
    "rows", 20, "Most rows to list; 0 lists all.", lower_bound=0
)
_JSON = flags.DEFINE_bool("json", False, "Whether to print JSON.")


@script.command
def main() -> None:
    study = jaxneurons.open_study(_STUDY.value)
    if _NEURON.value is not None:
        _check_flags()
        neuron = study.neuron(_LAYER.value, _NEURON.value)
        print(json.dumps(neuron.to_json(), indent=1) if _JSON.value else neuron)
        return
    from jaxneurons.studies import tables

    if _TOKEN.value is None:
        found = study.neurons(_LAYER.value, _SORT.value)
    else:
        found = study.detectors_of(_TOKEN.value, _LAYER.value, _SORT.value)
    rows = _ROWS.value or len(found)
    if _JSON.value:
        print(found.head(rows).to_json(orient="records"))
    elif found.empty:
        where = "" if _LAYER.value is None else f" of layer {_LAYER.value}"
        print(f"No token detector{where} has the trigger {_TOKEN.value!r}.")
    else:
        print(tables.to_text(found, rows, _SORT.value))


def _check_flags() -> None:
    if _LAYER.value is None:
        raise errors.UsageError("--neuron needs --layer.")
    for flag in (_TOKEN, _SORT, _ROWS):
        if flag.present:
            raise errors.UsageError(
                f"--{flag.name} is for a list of neurons: leave out --neuron."
            )


if __name__ == "__main__":
    main()
