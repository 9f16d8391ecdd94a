"""NAME=PATH is read by what exists, wherever the "=" are."""

import pathlib

import pytest

from jaxneurons import errors
from jaxneurons.command import named_paths
from jaxneurons.disk import places
from tests.support import cases


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("runs/lr=0.1/study", "plain", "x=y", "y"):
        pathlib.Path(path).mkdir(parents=True)


@cases.each(
    "value, name, path",
    [
        ("plain", "", "plain"),
        ("a name=plain", "a name", "plain"),
        ("runs/lr=0.1/study", "", "runs/lr=0.1/study"),
        ("a=runs/lr=0.1/study", "a", "runs/lr=0.1/study"),
        ("lr=0.1=runs/lr=0.1/study", "lr=0.1", "runs/lr=0.1/study"),
        # As a whole rather than the study `y` by the name of x.
        ("x=y", "", "x=y"),
        ("a=absent", "a", "absent"),
        ("absent", "", "absent"),
        ("=absent", "", "=absent"),
        ("a=gs://bucket/study", "a", places.parse("gs://bucket/study")),
        ("gs://bucket/study", "", places.parse("gs://bucket/study")),
    ],
)
def test_studies(here, value, name, path):
    expected = pathlib.Path(path) if isinstance(path, str) else path
    assert named_paths.studies([value]) == [(name, expected)]


def test_sources_keep_their_order_and_always_have_a_name(here):
    values = ["b=plain", "a b=runs/lr=0.1/study", "lr=0=plain", "x=y"]
    assert named_paths.sources(values) == [
        ("b", pathlib.Path("plain")),
        ("a b", pathlib.Path("runs/lr=0.1/study")),
        ("lr=0", pathlib.Path("plain")),
        ("x", pathlib.Path("y")),
    ]
    of_hub = "hf://datasets/owner/name"
    assert named_paths.sources([f"c={of_hub}"]) == [("c", of_hub)]


@cases.each(
    "values, message",
    [
        (["text"], "not NAME=PATH"),
        (["=."], "not NAME=PATH"),
        (["a="], "not NAME=PATH"),
        (["a/b=."], "the name holds '/'"),
        (["a\n=."], "character that does not print"),
        (["a\ud800=."], "character that does not print"),
        (["a=.", "b=.", "a=/"], "two domains of the name 'a'"),
        (["a=s3://bucket/text"], "s3://bucket/text is not a local path"),
    ],
)
def test_wrong_sources_are_refused_in_one_line(values, message):
    with pytest.raises(errors.UsageError, match=message) as caught:
        named_paths.sources(values)
    assert "\n" not in str(caught.value)


def test_a_source_that_does_not_exist_is_refused(here):
    with pytest.raises(errors.CorpusError, match="b=absent does not exist"):
        named_paths.sources(["a=b=absent"])
