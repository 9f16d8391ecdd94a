r"""Writes a page that shows studies in a browser, offline and without a server.

    python scripts/explore.py --study=studies/demo
    python scripts/explore.py --study=small=studies/opt-125m --study=studies/opt-1.3b --out=page
    python scripts/explore.py --study=studies/opt-125m --neuronpedia=batches

Open the index.html that it names. The folder can be moved, zipped, or put on any web server.
"""

import pathlib
from typing import Any

from absl import flags

from jaxneurons import errors
from jaxneurons.command import common_flags, named_paths, script

_STUDY = common_flags.required_list(
    "study",
    "DIR",
    "Directory of a finished study, also gs://BUCKET/PATH or s3://BUCKET/PATH, or NAME=DIR to give it another name "
    "than its model's",
)
_REMOTE_SECONDS = common_flags.remote_seconds()
_OUT = flags.DEFINE_string(
    "out",
    None,
    "Directory to write the page to: new, empty, or holding such a page, which is replaced. Default: the "
    "folder `explorer` of the study; of several studies, --out is required.",
)
_NEURONPEDIA = flags.DEFINE_string(
    "neuronpedia",
    None,
    "New directory to write the study's neurons to as well, as the batches that an upload to Neuronpedia takes.",
)


@script.command
def main() -> None:
    from jaxneurons.disk import files, places
    from jaxneurons.explorer import neuronpedia, write

    if _OUT.value == "":
        raise errors.UsageError("--out is empty. Pass a directory.")
    named = named_paths.studies(_STUDY.value)
    if _OUT.value is None and len(named) > 1:
        raise errors.UsageError("a page of several studies needs --out=DIR.")
    if _NEURONPEDIA.value == "":
        raise errors.UsageError("--neuronpedia is empty. Pass a new directory.")
    if _NEURONPEDIA.value is not None and len(named) > 1:
        raise errors.UsageError("--neuronpedia takes one study at a time.")
    out = places.local(_OUT.value) if _OUT.value else named[0][1] / write.NAME
    if _NEURONPEDIA.value is not None and _lies_in(_NEURONPEDIA.value, out):
        raise errors.UsageError(
            "--neuronpedia lies in the page, which is replaced when it is written again. Pass a directory beside it."
        )
    if isinstance(out, places.Place):
        raise errors.UsageError(f"the page of {named[0][1]} needs --out=DIR.")
    studies = write.open_studies(named)
    if _NEURONPEDIA.value is not None:
        files.refuse_existing(places.local(_NEURONPEDIA.value), "an export")
    # The page first: the same command may write it again, but not the batches.
    print(f"wrote the page {write.write(studies, out)}")
    if _NEURONPEDIA.value is not None:
        [study] = studies.values()
        neuronpedia.write(study, _NEURONPEDIA.value)
        print(f"wrote batches for Neuronpedia to {_NEURONPEDIA.value}")


def _lies_in(path: str, folder: Any) -> bool:
    return isinstance(folder, pathlib.Path) and pathlib.Path(
        path
    ).resolve().is_relative_to(folder.resolve())


if __name__ == "__main__":
    main()
