r"""Studies the neurons of an OPT model on text, from checkpoint to figures.

    python scripts/study.py --study=studies/demo
    python scripts/study.py --model=facebook/opt-125m --study=studies/opt-125m \
        --corpus=wikipedia=wiki.jsonl.gz --corpus=code=python_files/

Without --model and --corpus it studies the small model on the texts that come with the package, 432 thousand
tokens: a minute on two idle CPU cores, and 139 of 4,096 neurons are dead.
"""

import pathlib
from typing import TYPE_CHECKING

from absl import flags

from jaxneurons import demo, errors
from jaxneurons.command import backend, cache, common_flags, progress, script
from jaxneurons.run import options

if TYPE_CHECKING:
    from jaxneurons.store import reading

flags.adopt_module_key_flags(options)

_STUDY = common_flags.required("study", "DIR", "Directory to write the study to.")
_MODEL = flags.DEFINE_string(
    "model",
    None,
    "Model to study: a Hugging Face directory, an id on its hub such as facebook/opt-125m, a layer store, "
    "or a directory that train.py wrote. Default: the model that comes with the package.",
)
_REVISION = common_flags.revision()
_STEP = flags.DEFINE_integer(
    "step",
    None,
    "Step of the checkpoint to study, where --model is a training directory. Default: the last one.",
)
_RESUME = flags.DEFINE_bool(
    "resume", False, "Whether to continue an unfinished study in --study."
)
_CACHE = common_flags.cache()
_COMPILATION_CACHE = common_flags.compilation_cache()


@script.command
def main() -> None:
    with progress.Progress() as shown:
        title = _MODEL.value or f"{demo.MODEL_NAME}, the embedded model"
        shown.log_line(f"studying {title}; the study is {_STUDY.value}")
        cache_directory = cache.directory(_CACHE.value)
        sources, resources = options.sources(), options.resources()
        backend.start(_COMPILATION_CACHE.value, cache_directory)
        from jaxneurons.run import run

        with cache.needed(cache_directory):
            name, model = _open_model(cache_directory)
        figures = run.run_study(
            model,
            name,
            sources,
            pathlib.Path(_STUDY.value),
            options.resolve(model.config),
            cache_directory,
            _RESUME.value,
            resources,
            shown,
        )
    print(f"wrote {len(figures)} figures:", *figures, sep="\n  ")


def _open_model(cache_directory: pathlib.Path) -> "tuple[str, reading.Store]":
    """What to call the model, and its store."""
    from convert import cached
    from jaxneurons.store import reading
    from jaxneurons.training import export

    training = export.is_training_directory(_MODEL.value or "")
    if _STEP.value is not None and not training:
        raise errors.UsageError("--step needs a training directory as --model.")
    if _REVISION.value is not None and (_MODEL.value is None or training):
        raise errors.UsageError("--revision needs a model on the hub as --model.")
    if _MODEL.value is None:
        directory = str(demo.model_directory())
        return demo.MODEL_NAME, cached.open_model(directory, cache_directory)[1]
    if training:
        path = export.store_of_checkpoint(
            pathlib.Path(_MODEL.value), _STEP.value, cache_directory
        )
        return pathlib.Path(_MODEL.value).name, reading.open_store(path)
    return cached.open_model(_MODEL.value, cache_directory, _REVISION.value)


if __name__ == "__main__":
    main()
