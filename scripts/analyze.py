"""Finds a study's detectors and positional neurons again under other thresholds, from its arrays alone.

    python scripts/analyze.py --study=studies/opt-125m --most_unigrams=10 --trigger_share=.9

Replaces detectors_{n}.jsonl, positional.jsonl, summary.json, figures/ and the arrays that say what was found of
each neuron, or writes them to a new directory given by --out. What was counted never changes, and no text is
needed. What neurons promote and suppress takes the model's weights, where the study found them or by --model;
--nosuppression leaves that out. Takes seconds: 11 s for a study of opt-1.9m on two CPU cores.
"""

import shlex
from typing import TYPE_CHECKING

from absl import flags

from jaxneurons import errors
from jaxneurons.analysis import options
from jaxneurons.command import backend, cache, common_flags, script

if TYPE_CHECKING:
    from jaxneurons.store import reading
    from jaxneurons.studies.directory import Study

flags.adopt_module_key_flags(options)

_STUDY = common_flags.required("study", "DIR", common_flags.STUDY)
_REMOTE_SECONDS = common_flags.remote_seconds()
_OUT = flags.DEFINE_string(
    "out",
    None,
    "New directory to write to. Default: the study's own files are replaced.",
)
_MODEL = flags.DEFINE_string(
    "model", None, "The model that was studied. Default: where the study found it."
)
_REVISION = common_flags.revision()
_IGNORE_ATTRIBUTES = common_flags.ignore_attributes()
_STEP = common_flags.step()
_CACHE = common_flags.cache()
_SUPPRESSION = flags.DEFINE_bool(
    "suppression", True, "Whether to find what neurons promote and suppress."
)
_COMPILATION_CACHE = common_flags.compilation_cache()


@script.command
def main() -> None:
    from jaxneurons.analysis import analyze, findings
    from jaxneurons.disk import folders, places
    from jaxneurons.studies import opening, summary

    if _OUT.value == "":
        raise errors.UsageError("--out is empty. Pass a new directory.")
    study = opening.open_finished(places.parse(_STUDY.value))
    model = _open_model(study) if _SUPPRESSION.value else None
    try:
        folder = analyze.analyze_again(study, model, options.thresholds(), _OUT.value)
    except errors.UsageError as error:
        more = " ".join(f"--{name}={value}" for name, value in error.remedy.items())
        advice = f" The flag of study.py is {more}." if more else ""
        raise errors.UsageError(f"{error}{advice}") from error
    print(findings.to_text(summary.read(folder)), "", sep="\n")
    done = "replaced" if _OUT.value is None else "wrote"
    print(
        f"{done} the tables, arrays of findings, summary.json and figures in {folder}"
    )
    if pages := folders.find(folder, "explorer"):
        print(
            f"{pages[0]} still shows what was found before. To write it again: explore.py --study={shlex.quote(str(folder))}"
        )


def _open_model(study: "Study") -> "reading.Store":
    from jaxneurons.analysis import promoted
    from jaxneurons.run import models

    if not promoted.is_written(study):
        # The one thing here that runs on a device.
        backend.start(_COMPILATION_CACHE.value, cache.directory(_CACHE.value))
    try:
        return models.open_studied(
            study,
            _MODEL.value,
            revision=_REVISION.value,
            step=_STEP.value,
            ignore_attributes=_IGNORE_ATTRIBUTES.value,
            cache=cache.directory(_CACHE.value),
        ).store
    except errors.StoreError as error:
        if _MODEL.value is not None:
            raise
        raise errors.StoreError(f"{error} Or pass --nosuppression.") from error


if __name__ == "__main__":
    main()
