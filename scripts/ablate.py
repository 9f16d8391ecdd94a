r"""Takes neurons out of a model and measures what its predictions lose, beside as many other neurons.

    python scripts/ablate.py --study=studies/demo --neurons=positional --out=ablations/positional
    python scripts/ablate.py --study=studies/opt-125m --neurons=detectors_1 --corpus=wiki=wiki.jsonl.gz \
        --mode=mean --out=ablations/detectors

The model runs over the text once as it is, once without the neurons, and once without each control: other neurons of
the same layers that are active about as often. Writes ablation.json and a figure. An interrupted run leaves nothing
behind and begins anew.
"""

import dataclasses
from typing import TYPE_CHECKING

from absl import flags

from jaxneurons import errors
from jaxneurons.command import (
    backend,
    cache,
    common_flags,
    machine_flags,
    progress,
    script,
    text_flags,
)

if TYPE_CHECKING:
    from jaxneurons.run.models import Model
    from jaxneurons.studies.directory import Study
    from jaxneurons.text.sources import Source
    from jaxneurons.text.windows import Windows

_STUDY = common_flags.required("study", "DIR", common_flags.STUDY)
_REMOTE_SECONDS = common_flags.remote_seconds()
_NEURONS = common_flags.required(
    "neurons",
    "SET",
    "Neurons to take out, all at once: dead, certified_dead, detectors_1, detectors_2, detectors_3, positional, "
    "positional:TYPE such as positional:oscillatory, domain:NAME for those specific to a domain, or the path of a .csv "
    "file with the header layer,neuron, or of a .json or .jsonl file of such pairs or objects.",
)
_OUT = common_flags.required("out", "DIR", "New directory to write to.")
_LAYERS = flags.DEFINE_string(
    "layers",
    None,
    "Layers whose neurons are taken out, as FIRST:LAST with both included. Default: all layers of the set.",
)
_MODE = flags.DEFINE_enum(
    "mode",
    "zero",
    ["zero", "mean"],
    "What the neurons write instead: nothing, or always their mean on this text.",
)
_CONTROLS = flags.DEFINE_integer(
    "controls", 5, "Number of draws of other neurons to compare with.", lower_bound=0
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of these draws.", lower_bound=0)
_MODEL = flags.DEFINE_string(
    "model", None, "The model that was studied. Default: where the study found it."
)
_REVISION = common_flags.revision()
_STEP = common_flags.step()
_IGNORE_ATTRIBUTES = common_flags.ignore_attributes()
_TEXT = text_flags.define("Default: the text of the study")
_MAX_TOKENS = flags.DEFINE_integer(
    "max_tokens",
    None,
    "Largest number of tokens to read of --corpus, shared out over the domains. Default: all text is read.",
)
_MACHINE = machine_flags.define()
_DISTRIBUTED = common_flags.distributed()
_CACHE = common_flags.cache()
_COMPILATION_CACHE = common_flags.compilation_cache()


@script.command
def main() -> None:
    import jaxneurons
    from jaxneurons import processes
    from jaxneurons.ablation import named_sets, writing
    from jaxneurons.disk import places
    from jaxneurons.run.resources import Resources
    from jaxneurons.studies import opening

    layers = common_flags.parse_layers(_LAYERS)
    sources, resources = _TEXT.sources(), Resources(**_MACHINE.given())
    if _MAX_TOKENS.present and not sources:
        raise errors.UsageError("--max_tokens needs --corpus.")
    of_model = (_REVISION, _STEP, _IGNORE_ATTRIBUTES)
    if _MODEL.value is None and any(flag.present for flag in of_model):
        raise errors.UsageError(
            "--revision, --step and --ignore_attributes need --model."
        )
    out = places.local(_OUT.value)
    writing.refuse_taken(out)
    study = opening.open_finished(places.parse(_STUDY.value))
    chosen = named_sets.find(study, _NEURONS.value, layers)
    with progress.Progress() as shown:
        several = _DISTRIBUTED.value == "auto"
        backend.start(_COMPILATION_CACHE.value, cache.directory(_CACHE.value), several)
        model = _open_model(study)
        text = _read_text(study, model, sources)
        found = jaxneurons.ablate(
            model,
            text,
            chosen.neurons,
            mode=_MODE.value,
            controls=_CONTROLS.value,
            seed=_SEED.value,
            windows_per_batch=study.identity.settings.windows_per_batch,
            dtype=study.identity.settings.dtype,
            precision=study.identity.settings.precision,
            resources=resources,
            progress=shown,
        )
    if not processes.is_first():
        return
    if not chosen.positional:
        found = dataclasses.replace(found, positions={})
    paths = writing.write(found, out)
    print(found, "", "wrote:", *[f"  {path}" for path in paths], sep="\n")


def _open_model(study: "Study") -> "Model":
    from jaxneurons.run import models

    cache_directory = cache.directory(_CACHE.value)
    with cache.needed(cache_directory):
        return models.open_studied(
            study,
            _MODEL.value,
            revision=_REVISION.value,
            step=_STEP.value,
            ignore_attributes=_IGNORE_ATTRIBUTES.value,
            cache=cache_directory,
        )


def _read_text(
    study: "Study", model: "Model", sources: "list[tuple[str, Source]]"
) -> "Windows":
    """The text that the flags name, in windows as long as the study's; or the study's own windows."""
    from jaxneurons.run import texts

    if not sources:
        return texts.studied_text(study)
    return texts.load_text(
        model,
        dict(sources),
        window=study.identity.settings.window,
        max_tokens=_MAX_TOKENS.value,
        cache=cache.directory(_CACHE.value),
    )


if __name__ == "__main__":
    main()
