r"""Compares studies of the paper's models with the paper's numbers: where they agree, and where not.

    python scripts/reproduce.py --study=studies/opt-125m --study=studies/opt-66b --out=reproduction
    python scripts/reproduce.py --plan --gpu=h100

The first prints a table of every figure and claim of the paper that has a number, and writes it as JSON, Markdown
and a figure. The second prints what to run for the whole family.
"""

from absl import flags

from jaxneurons import errors
from jaxneurons.command import family_plan, named_paths, script

_STUDY = flags.DEFINE_multi_string(
    "study",
    [],
    "Directory of a finished study of all layers, or NAME=DIR where the name of its model does not say which of the "
    "paper's it is: a size such as 66b, 'no positions', or 50k, 150k or 300k for a model trained so long.",
)
_OUT = flags.DEFINE_string(
    "out",
    None,
    "Directory to write the table to. It must be new or empty. Default: it is printed only.",
)
_PLAN = flags.DEFINE_bool(
    "plan",
    False,
    "Whether to print what to run for the whole family, instead of comparing.",
)
_GPU = flags.DEFINE_enum(
    "gpu", "h100", list(family_plan.GPUS), "GPU that --plan estimates times for."
)


@script.command
def main() -> None:
    if _PLAN.value:
        if _STUDY.value or _OUT.value:
            raise errors.UsageError("--plan takes neither --study nor --out.")
        print(family_plan.to_text(_GPU.value))
        return
    if not _STUDY.value:
        raise errors.UsageError("--study=DIR is required, or --plan.")
    from jaxneurons.analysis import reproduction
    from jaxneurons.disk import places

    studies = reproduction.open_studies(named_paths.studies(_STUDY.value))
    verdicts = reproduction.compare(studies)
    print(reproduction.to_markdown(verdicts), end="")
    if _OUT.value is not None:
        paths = reproduction.save(verdicts, places.local(_OUT.value))
        print(f"wrote {len(paths)} files:", *paths, sep="\n  ")


if __name__ == "__main__":
    main()
