"""What is written for the page: exact arrays, the same bytes each time, all or nothing, and what a large model leaves out."""

import base64
import gzip
import hashlib
import json

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.explorer import choice, shards, write
from jaxneurons.studies import opening
from tests.support import cases, known_neurons


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    known_neurons.write(folder)
    return opening.open_finished(folder / "study")


def unpacked(content):
    """The arrays, read as the page reads them."""
    data = gzip.decompress(base64.b64decode(content["data"]))
    found, offset = {}, 0
    for name, kind, shape in content["fields"]:
        size = int(np.prod(shape))
        assert offset % np.dtype(kind).itemsize == 0
        found[name] = np.frombuffer(data, f"<{kind}", size, offset).reshape(shape)
        offset += found[name].nbytes
    assert offset == len(data)
    return found


@cases.each(
    "values, kind",
    [
        ([0, 255], "u1"),
        ([-1, 127], "i1"),
        ([0, 256], "u2"),
        ([-1, 2**15], "i4"),
        ([0, 2**32 - 1], "u4"),
        ([0, 2**40], "f8"),
        ([True, False], "u1"),
        ([0.1, np.nan], "f8"),
        (np.float32([0.1, np.inf]), "f4"),
        (np.zeros((0, 3), np.int64), "u1"),
    ],
)
def test_arrays_keep_their_values_in_the_smallest_type(values, kind):
    array = np.array(values)
    content = json.loads(
        json.dumps(shards.packed({"odd": np.uint8([1]), "values": array}))
    )
    assert ["values", kind, list(array.shape)] in content["fields"]
    np.testing.assert_array_equal(unpacked(content)["values"], array)


def test_scripts_are_ascii_and_cannot_be_ended_by_a_token():
    written = shards.script(
        "id", "data/tokens", ["</script>", "\u202e", "\0", "\udce2"]
    )
    assert written.isascii() and b"<" not in written and b"\0" not in written
    arguments = written.decode().removeprefix("explorer.receive(").removesuffix(");\n")
    assert json.loads(f"[{arguments}]")[2] == ["</script>", "\u202e", "\0", "\udce2"]


def digests(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_page_written_twice_is_the_same_and_replaces_the_first(study, tmp_path):
    first = digests(write.write({"model": study}, tmp_path / "page").parent)
    (tmp_path / "page/data/stale.js").write_text("")
    assert digests(write.write({"model": study}, tmp_path / "page").parent) == first
    assert digests(write.write({"model": study}, tmp_path / "other").parent) == first
    assert {path.name for path in tmp_path.iterdir()} == {"page", "other"}
    assert {"index.html", "uPlot.LICENSE.txt", "data/layers/001.js"} <= set(
        map(str, first)
    )


def test_another_folder_is_never_replaced(study, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(
        errors.OutputExistsError, match="holds something other than such a page"
    ):
        write.write({"model": study}, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_page_that_cannot_be_written_leaves_the_former(study, tmp_path):
    page = write.write({"model": study}, tmp_path / "page").parent
    before = digests(page)
    damaged = opening.open_finished(study.path)
    entries = damaged.facts.arrays
    entries["domain_entropy"] = entries["mutual_information"]
    with pytest.raises(errors.StudyError):
        write.write({"model": damaged}, tmp_path / "page")
    assert digests(page) == before
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


def test_a_large_layer_keeps_what_somebody_will_look_at():
    random = np.random.default_rng(0)
    columns = {
        "activations": random.integers(0, 1000, (2, 5000)),
        "mutual_information": random.random(5000),
        "domain_entropy": random.random(5000),
        "detector": np.zeros((3, 5000), int),
        "positional_type": np.zeros(5000, int),
    }
    columns["positional_type"][[7, 9]] = 1
    columns["detector"][1, [11, 13]] = 2
    chosen = choice.choose(3, columns, 400)
    assert set(chosen) >= {7, 9, 11, 13} and (np.diff(chosen) > 0).all()
    assert columns["mutual_information"].argmax() in chosen
    assert columns["domain_entropy"].argmin() in chosen
    assert choice.RANDOM < len(chosen) < 250
    assert len(choice.choose(3, columns, 100)) == 100
    assert len(choice.choose(3, columns, 5000)) == 5000


def test_a_large_model_tells_everything_of_some_neurons(study, tmp_path):
    page = write.write({"model": study}, tmp_path / "page", most=8).parent
    [described] = json.loads(
        (page / "data/study.js")
        .read_text()
        .removeprefix('explorer.receive("","data/study",')[:-3]
    )
    assert described["detailed"] == 8
    content = (page / "data/layers/001.js").read_text()
    arrays = unpacked(json.loads("[" + content[len("explorer.receive(") : -3] + "]")[2])
    assert arrays["detailed"].sum() == 4
