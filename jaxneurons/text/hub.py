"""`hf://OWNER/NAME?split=train` in, the records of that dataset on the Hugging Face hub out, as they are fetched."""

import urllib.parse
from collections.abc import Collection, Iterator
from typing import NamedTuple

from jaxneurons import errors
from jaxneurons.text import extra
from jaxneurons.text.records import Record

_SCHEME = "hf://"
# What an address may say after "?", and what `datasets.load_dataset` calls it.
_OPTIONS = {
    "split": "split",
    "config": "name",
    "revision": "revision",
    "data_files": "data_files",
    "data_dir": "data_dir",
}


class Address(NamedTuple):
    """A dataset: its address as given, its id, and keywords of `datasets.load_dataset`."""

    given: str
    name: str
    options: dict[str, str]


def is_address(text: str) -> bool:
    """Whether a text names a dataset on the hub, not a path."""
    return text.startswith(_SCHEME)


def parse(given: str) -> Address:
    """What an address names; raises UsageError."""
    name, _, query = (
        given.removeprefix(_SCHEME).removeprefix("datasets/").partition("?")
    )
    options = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    unknown = [key for key in options if key not in _OPTIONS]
    if not name or name.count("/") > 1 or unknown or not all(options.values()):
        raise errors.UsageError(
            f"{given!r} is not hf://OWNER/NAME?split=SPLIT. After the question mark there may be"
            f" {', '.join(_OPTIONS)}, joined by '&'."
        )
    named = {_OPTIONS[key]: value for key, value in options.items()}
    return Address(given, name, {"split": "train"} | named)


def read(address: Address, columns: Collection[str] | None) -> Iterator[Record]:
    """Yields one object per row, with its place as `address: row N`, from 0.

    Args:
        address: of the dataset, of which no code is run.
        columns: keys of the fields that are read; None reads all.

    Raises:
        UsageError: the package datasets is not installed.
        CorpusError: there is no such dataset or split, or it cannot be read.
        InputOutputError: the hub cannot be reached.
    """
    datasets = extra.load("datasets", address.given)
    place = address.given
    try:
        found = datasets.load_dataset(address.name, streaming=True, **address.options)
        names = found.column_names
        if columns is not None and names:
            roots = {key if key in names else key.partition(".")[0] for key in columns}
            found = found.select_columns([name for name in names if name in roots])
        for row, record in enumerate(found):
            place = f"{address.given}: row {row}"
            yield place, dict(record)
    except (ConnectionError, TimeoutError) as error:
        raise errors.InputOutputError(
            f"{place}: the hub cannot be reached ({_reason(error)}). Try again when there is a connection."
        ) from error
    # The package, and those that it reads with, raise nearly anything.
    except Exception as error:
        raise errors.CorpusError(
            f"{place}: this dataset cannot be read ({type(error).__name__}: {_reason(error)}). Check its"
            " name, split and config."
        ) from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
