"""Makes one study of several that were made of parts of the same text, each on a machine of its own.

    python scripts/merge.py --part=part1 --part=part2 --study=studies/opt-125m

Here part1 and part2 are what study.py made with --nongrams and --part=1/2 or --part=2/2. The study is that of the
whole text without n-grams, bit for bit. What neurons promote and suppress takes the model's weights, where the first
part found them or by --model; --nosuppression leaves that out.
"""

from absl import flags

from jaxneurons.command import backend, cache, common_flags, script

_PART = common_flags.required_list(
    "part",
    "DIR",
    "Directory of a finished study that study.py made with --part, also gs://BUCKET/PATH or s3://BUCKET/PATH.",
)
_REMOTE_SECONDS = common_flags.remote_seconds()
_STUDY = common_flags.required("study", "DIR", "Directory to write the study to.")
_MODEL = flags.DEFINE_string(
    "model",
    None,
    "The model that was studied. Default: where the first part found it.",
)
_REVISION = common_flags.revision()
_IGNORE_ATTRIBUTES = common_flags.ignore_attributes()
_STEP = common_flags.step()
_SUPPRESSION = flags.DEFINE_bool(
    "suppression", True, "Whether to find what neurons promote and suppress."
)
_CACHE = common_flags.cache()
_COMPILATION_CACHE = common_flags.compilation_cache()


@script.command
def main() -> None:
    from jaxneurons.analysis import findings
    from jaxneurons.disk import places
    from jaxneurons.run import merging, models
    from jaxneurons.studies import opening, summary

    path, cache_directory = places.local(_STUDY.value), cache.directory(_CACHE.value)
    opening.refuse_taken(path)
    parts = [opening.open_finished(places.parse(each)) for each in _PART.value]
    backend.start(_COMPILATION_CACHE.value, cache_directory)
    model = models.open_studied(
        parts[0],
        _MODEL.value,
        revision=_REVISION.value,
        step=_STEP.value,
        ignore_attributes=_IGNORE_ATTRIBUTES.value,
        cache=cache_directory,
    )
    merging.merge(parts, model, path, _SUPPRESSION.value)
    print(findings.to_text(summary.read(path)), "", sep="\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
