"""A `.parquet` file in, its records out, row group by row group: only columns that are read, a few rows at a time."""

import pathlib
from collections.abc import Collection, Iterator
from typing import Any

from jaxneurons import errors
from jaxneurons.text import extra
from jaxneurons.text.records import Record

# What is read from disk, and what of a column is decoded, at a time.
_BUFFER_BYTES = 2**20
_BATCH_BYTES = 2**22
_AGAIN = "Copy or download the file again."


def read_parquet(
    path: pathlib.Path, columns: Collection[str] | None
) -> Iterator[Record]:
    """Yields one object per row; a place is the row group and the row in it, both from 0.

    Args:
        path: of the file.
        columns: keys of the fields that are read; None reads `text` and `tokens`.

    Raises:
        CorpusError: the file is damaged, or has no such column.
        UsageError: pyarrow is not installed.
    """
    parquet, arrow = (
        extra.load("pyarrow.parquet", path.name),
        extra.load("pyarrow", path.name),
    )
    place = str(path)
    try:
        with parquet.ParquetFile(
            path,
            buffer_size=_BUFFER_BYTES,
            # Else a row group is read as a whole.
            pre_buffer=False,
            page_checksum_verification=True,
        ) as file:
            wanted = _existing(file.schema_arrow.names, columns, path)
            for group in range(file.num_row_groups):
                place = f"{path}: row group {group}"
                row = 0
                for batch in file.iter_batches(
                    _batch_rows(file, group, wanted),
                    row_groups=[group],
                    columns=wanted,
                    use_threads=False,
                ):
                    for record in _rows(batch, wanted):
                        yield f"{place}, row {row}", record
                        row += 1
    except (arrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        reason = " ".join(str(error).split())[:200]
        raise errors.CorpusError(
            f"{place}: not a parquet file that can be read ({reason}). {_AGAIN}"
        ) from error


def _rows(batch: Any, wanted: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of a batch, one at a time; a struct is an object."""
    columns = [batch.column(name) for name in wanted]
    for index in range(batch.num_rows):
        values = [column[index].as_py() for column in columns]
        yield dict(zip(wanted, values, strict=True))


def _existing(
    names: list[str], columns: Collection[str] | None, path: pathlib.Path
) -> list[str]:
    """The columns that hold the keys."""
    wanted: list[str]
    if columns is None:
        wanted = [name for name in names if name in ("text", "tokens")]
        missing = [] if wanted else ["text"]
    else:
        roots = [key if key in names else key.partition(".")[0] for key in columns]
        wanted = [name for name in names if name in roots]
        missing = sorted(set(roots) - set(names))
    if missing:
        raise errors.CorpusError(
            f"{path} has no column {missing[0]!r}. Name the one that holds the text. There are:"
            f" {', '.join(names[:20])}."
        )
    return wanted


def _batch_rows(file: Any, group: int, wanted: list[str]) -> int:
    """How many rows make about _BATCH_BYTES."""
    group_facts = file.metadata.row_group(group)
    columns = [group_facts.column(i) for i in range(group_facts.num_columns)]
    size = sum(
        column.total_uncompressed_size
        for column in columns
        if column.path_in_schema.partition(".")[0] in wanted
    )
    rows = max(1, group_facts.num_rows)
    return int(min(4096, max(1, _BATCH_BYTES * rows // max(1, size))))
