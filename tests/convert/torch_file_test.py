"""`.bin` files: the right values of odd tensors, and refusals of what torch would swallow."""

import os
import pathlib
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from convert import torch_file
from jaxneurons import errors
from tests.support import cases

torch = pytest.importorskip("torch")


def refusal(path, *fragments, action=None):
    """Asserts one line that names the file and holds all fragments."""
    with pytest.raises(errors.CheckpointError) as caught:
        opened = torch_file.open_file(path)
        if action is not None:
            action(opened)
    message = str(caught.value)
    for fragment in (str(path), *fragments):
        assert fragment in message
    assert "\n" not in message


def odd_tensors():
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    return OrderedDict(
        base=base,
        row=base[1],
        transposed=base.t(),
        column=base[:, 2],
        parameter=torch.nn.Parameter(torch.tensor([1.5, -2.0])),
        bfloat16=torch.tensor([[1.0, -3.0]]).bfloat16().t(),
        float16=torch.tensor([0.1]).half(),
        count=torch.tensor(3),
        nothing=torch.zeros(0, 4),
        negated=torch._neg_view(torch.ones(2)),
        expanded=torch.tensor([7.0]).expand(5),
    )


@pytest.mark.fault(case=10)
@cases.each("as_zip", [True, False])
def test_odd_tensors_keep_their_values(tmp_path, as_zip):
    path = tmp_path / "pytorch_model.bin"
    tensors = odd_tensors()
    torch.save(tensors, path, _use_new_zipfile_serialization=as_zip)
    opened = torch_file.open_file(path)
    assert list(opened.tensors) == list(tensors)
    for key, tensor in tensors.items():
        found, wanted = opened.read(key), tensor.detach().resolve_neg().float().numpy()
        assert found.shape == opened.tensors[key].shape == wanted.shape
        assert found.dtype.name == opened.tensors[key].dtype
        np.testing.assert_array_equal(found.astype(np.float32), wanted, key)
    assert opened.tensors["bfloat16"].dtype == "bfloat16"
    assert opened.tensors["count"].dtype == "int64"


def test_what_is_read_outlives_the_file(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.arange(4.0)}, path)
    read = torch_file.open_file(path).read("a")
    path.write_bytes(b"")
    np.testing.assert_array_equal(read, np.float32([0, 1, 2, 3]))


class Attack:
    """A pickle that runs a command where the loader lets it."""

    def __init__(self, sentinel: pathlib.Path):
        self.sentinel = sentinel

    def __reduce__(self):
        return os.system, (f"touch '{self.sentinel}'",)


@pytest.mark.fault(case=7)
@cases.each("as_zip", [True, False])
def test_code_in_a_pickle_never_runs(tmp_path, as_zip):
    path, sentinel = tmp_path / "pytorch_model.bin", tmp_path / "sentinel"
    state = {"a": Attack(sentinel)}
    torch.save(state, path, _use_new_zipfile_serialization=as_zip)
    refusal(path, "weights-only")
    assert not sentinel.exists()
    torch.load(path, weights_only=False)
    assert sentinel.exists(), "the attack works where it is let"


@pytest.mark.fault(case=7)
def test_an_old_torch_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.zeros(2)}, path)
    old = types.SimpleNamespace(__version__="2.9.1+cpu")
    monkeypatch.setitem(sys.modules, "torch", old)
    with pytest.raises(errors.CheckpointError, match=r"torch 2\.9\.1.*2\.10.*CVE"):
        torch_file.open_file(path)


def rezip(path, change):
    """Writes the zip again, each record through `change(archive, record, content)`."""
    with zipfile.ZipFile(path) as archive:
        records = [(record, archive.read(record)) for record in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for record, content in records:
            change(archive, record, content)


@pytest.mark.fault(case=8)
def test_compressed_records_are_refused(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.zeros(100)}, path)

    def deflate(archive, record, content):
        archive.writestr(record.filename, content, zipfile.ZIP_DEFLATED)

    rezip(path, deflate)
    refusal(path, "compressed records cannot be memory-mapped")


@pytest.mark.fault(case=8)
def test_a_large_record_beside_tensors_is_refused(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.zeros(100)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/note", bytes(2**26))
    refusal(path, "a record beside tensors has 67108864 bytes")


@pytest.mark.fault(case=8)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_record_name_twice_is_refused(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.zeros(100)}, path)

    def twice(archive, record, content):
        archive.writestr(record.filename, content)
        if record.filename.endswith("data/0"):
            archive.writestr(record.filename, content)

    rezip(path, twice)
    refusal(path, "appears twice")


@pytest.mark.fault(case=7)
def test_a_program_is_refused(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.zeros(100)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("pytorch_model/constants.pkl", b"")
    refusal(path, "it is a TorchScript program")


@pytest.mark.fault(case=8)
def test_an_encrypted_record_is_refused(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.zeros(100)}, path)
    content = bytearray(path.read_bytes())
    # The first bit of the flags in the first entry of the zip's directory.
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    refusal(path, "encrypted")


@pytest.mark.fault(case=9)
@cases.each("place, byte", [(46, 0xFF), (6, 0xC6)])
def test_a_damaged_directory_of_the_zip_is_refused(tmp_path, place, byte):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.arange(10.0)}, path)
    content = bytearray(path.read_bytes())
    # A record's name in no encoding, or a version of zip that is yet to come.
    directory = content.find(b"PK\x01\x02")
    content[directory + 8 : directory + 10] = b"\0\x08"
    content[directory + place] = byte
    path.write_bytes(content)
    refusal(path, "truncated or damaged torch file")


@pytest.mark.fault(case=9)
def test_a_flipped_byte_is_found_wherever_it_is(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.ones(100), "b": torch.ones(7)}, path)
    whole = path.read_bytes()
    begin = whole.index(np.ones(100, np.float32).tobytes())
    for place in (begin, begin + 399):
        path.write_bytes(flipped(whole, place))
        opened = torch_file.open_file(path)
        np.testing.assert_array_equal(opened.read("b"), np.ones(7))
        refusal(path, "a is damaged", action=lambda opened: opened.read("a"))
    path.write_bytes(flipped(whole, whole.index(b"collections")))
    refusal(path, "CRC-32")


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.fault(case=4)
def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.ones(100)}, path)
    whole = path.read_bytes()
    for length in (1, 4, 30, len(whole) // 2, len(whole) - 22, len(whole) - 1):
        path.write_bytes(whole[:length])
        refusal(path)


@pytest.mark.fault(case=10)
@cases.each(
    "state, fragment",
    [
        ({"model": {"a": torch.zeros(2)}}, "'model' is a dict: expected a tensor"),
        ({"a": torch.zeros(2), "epoch": 3}, "'epoch' is a int: expected a tensor"),
        ({3: torch.zeros(2)}, "'3' is a Tensor"),
        ([torch.zeros(2)], "contains a list: expected tensors by name"),
        (torch.zeros(2), "contains a Tensor: expected tensors by name"),
        ({"a": torch.zeros(2, 2).to_sparse()}, "torch.sparse_coo"),
        ({"a": torch.zeros(2, device="meta")}, "on meta"),
    ],
)
def test_what_is_not_plain_tensors_by_name_is_refused(tmp_path, state, fragment):
    path = tmp_path / "pytorch_model.bin"
    torch.save(state, path)
    refusal(path, fragment)


@pytest.mark.fault(case=10)
def test_only_small_files_are_read_whole(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    base = torch.zeros(10_000)
    torch.save({"a": base}, path, _use_new_zipfile_serialization=False)
    assert torch_file.open_file(path, 50_000).read("a").shape == (10_000,)
    with pytest.raises(errors.CheckpointError, match="before torch 1.6.*Save it again"):
        torch_file.open_file(path, 30_000)
    torch.save({"a": base, "view": base[:5]}, path)
    opened = torch_file.open_file(path, 30_000)
    assert opened.read("a").shape == (10_000,)
    with pytest.raises(errors.CheckpointError, match="view of 20 bytes is a part of a"):
        opened.read("view")
