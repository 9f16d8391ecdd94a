r"""Studies the neurons of a language model on text, from checkpoint to figures.

    python scripts/study.py --study=studies/demo
    python scripts/study.py --model=planted --study=studies/planted
    python scripts/study.py --model=facebook/opt-125m --study=studies/opt-125m \
        --corpus=wikipedia=wiki.jsonl.gz --corpus=code=python_files/ --suffix=.py

Without --model and --corpus it studies a small model on 164 thousand tokens of index cards that come with the package:
half a minute on two CPU cores, 45 seconds the first time. 142 of 4,096 neurons detect tokens, 75 % of these
suppress what they detect, 899 are dead and 857 positional.
"""

import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from absl import flags

import jaxneurons
from jaxneurons import demo, errors
from jaxneurons.command import backend, cache, common_flags, progress, script
from jaxneurons.run import options

if TYPE_CHECKING:
    from jaxneurons.studies.results import Results

flags.adopt_module_key_flags(options)

_STUDY = common_flags.required(
    "study",
    "DIR",
    "Directory to write the study to, or its address in an object store, gs://BUCKET/PATH or s3://BUCKET/PATH.",
)
_REMOTE_SECONDS = common_flags.remote_seconds()
_MODEL = flags.DEFINE_string(
    "model",
    None,
    "Model to study: a Hugging Face directory, an id on its hub such as facebook/opt-125m, a layer store, "
    "or a directory that train.py wrote; or one that comes with the package: opt-0.3m and opt-1.9m were "
    "trained, and planted was set by hand. Default: opt-0.3m.",
)
_REVISION = common_flags.revision()
_IGNORE_ATTRIBUTES = common_flags.ignore_attributes()
_STEP = common_flags.step()
_RESUME = flags.DEFINE_bool(
    "resume", False, "Whether to continue an unfinished study in --study."
)
_EXPLORER = flags.DEFINE_bool(
    "explorer",
    None,
    "Whether to write a page that shows the study in a browser, as explore.py does later. Default: only for the "
    "models that come with the package.",
)
_TIMINGS = flags.DEFINE_bool(
    "timings",
    False,
    "Whether to end with a table of where the time went; study.json keeps it.",
)
_DISTRIBUTED = common_flags.distributed()
_CACHE = common_flags.cache()
_COMPILATION_CACHE = common_flags.compilation_cache()


@script.command
def main() -> None:
    # Before what takes long to import: it measures the start too.
    shown = progress.Progress()
    from jaxneurons import processes
    from jaxneurons.disk import places
    from jaxneurons.run import announcement, settings
    from jaxneurons.studies import opening

    cache_directory = cache.directory(_CACHE.value)
    sources, resources = options.TEXT.sources(), options.resources()
    chosen = options.chosen()
    place = places.parse(_STUDY.value)
    if _EXPLORER.value and isinstance(place, places.Place):
        raise errors.UsageError(
            "--explorer writes into a local study. Leave it out, and run explore.py with --out=DIR."
        )
    if not _RESUME.value:
        opening.refuse_taken(place)
    with shown:
        title, _ = demo.embedded(_MODEL.value) or (_MODEL.value, None)
        shown.log_line(f"studying {title}; the study is {_STUDY.value}")
        backend.start(
            _COMPILATION_CACHE.value, cache_directory, _DISTRIBUTED.value == "auto"
        )
        shown.stage("model")
        with cache.needed(cache_directory):
            model = jaxneurons.open_model(
                _MODEL.value,
                revision=_REVISION.value,
                step=_STEP.value,
                ignore_attributes=_IGNORE_ATTRIBUTES.value,
                document_start=options.DOCUMENT_START.value,
                cache=cache_directory,
            )
        resolved = settings.resolve(
            model.config,
            window=options.WINDOW.value,
            max_tokens=options.MAX_TOKENS.value,
            stored=model.store.dtype,
            **chosen,
        )
        announcement.say_model(model.name, model.store, resolved, resources, shown)
        shown.stage("text")
        text = jaxneurons.load_text(
            model,
            dict(sources) or None,
            window=options.WINDOW.value,
            max_tokens=options.MAX_TOKENS.value,
            cache=cache_directory,
        )
        result = jaxneurons.study(
            model,
            text,
            place,
            **chosen,
            part=options.PART.value,
            suppression=options.SUPPRESSION.value,
            resume=_RESUME.value,
            resources=resources,
            cache=cache_directory,
            progress=shown,
        )
        if processes.is_first():
            _report(result, shown)


def _report(result: "Results", shown: "progress.Progress") -> None:
    """Says what was found, and names the figures and the page."""
    from jaxneurons.analysis import findings
    from jaxneurons.disk import folders

    print(findings.to_text(result.summary), "", sep="\n")
    figures = folders.find(result.path / "figures", "*")
    print(f"wrote the figures, {len(figures)} files:", *figures, sep="\n  ")
    embedded = demo.embedded(_MODEL.value) is not None
    if not isinstance(result.path, pathlib.Path):
        print(f"To see it in a browser: explore.py --study={result.path} --out=page")
    elif _EXPLORER.value or (_EXPLORER.value is None and embedded):
        from jaxneurons.explorer import write

        print(f"wrote the page {write.write_in_study(result.path, shown)}")
    if _TIMINGS.value:
        print("", _timings(shown.seconds), sep="\n")


def _timings(seconds: Mapping[str, float]) -> str:
    """A table of where the time went."""
    rows = {**seconds, "in all": sum(seconds.values())}
    return "\n".join(f"{name:12}{each:8.1f} s" for name, each in rows.items())


if __name__ == "__main__":
    main()
