"""Which files a corpus has, and their bytes, compressed or not."""

import gzip
import os
import tracemalloc

import pytest

from jaxneurons import errors
from jaxneurons.text import compression, files
from tests.support import cases


def read(path):
    return b"".join(compression.read_pieces(path))


def names(path, suffixes=()):
    return [file.name for file in files.list_files(path, suffixes).files]


@pytest.mark.fault(case=20)
def test_directory_is_searched_to_the_bottom_in_order_of_names(tmp_path):
    for name in ("b.txt", "a/z.jsonl", "a.jsonl.gz", "a/b/c.txt.gz", "B.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    expected = ["B.txt", "a.jsonl.gz", "a/b/c.txt.gz", "a/z.jsonl", "b.txt"]
    assert names(tmp_path) == expected


def test_other_files_are_left_out_and_named(tmp_path):
    others = [f"{number:02}.png" for number in range(11)]
    for name in ("a.txt", "README.md", ".hidden.txt", ".git/b.txt", "c.TXT", *others):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    hidden, other = files.list_files(tmp_path).left_out
    assert str(hidden) == "2 files: .git, .hidden.txt (hidden)"
    assert other.number == 13 and other.what.endswith("09.png and 3 more")


def test_source_code_is_read_by_its_suffix_and_never_its_licence_alone(tmp_path):
    for name in ("LICENSE.txt", "requirements.txt", "src/a.py", "src/b.py", "c.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(
        errors.CorpusError, match="3 source files .* of text only LICEN"
    ) as e:
        names(tmp_path)
    assert e.value.remedy == {"suffix": ".py"}
    assert names(tmp_path, (".py",)) == ["src/a.py", "src/b.py"]
    with pytest.raises(
        errors.CorpusError, match=r"no text files. Add .* in \.cc, perhaps"
    ):
        names(tmp_path, (".cc",))
    # Text beside a script or two is text.
    for name in ("wiki.jsonl.zst", "news.parquet", "books.csv.gz", "more.json"):
        (tmp_path / name).write_bytes(b"x")
    assert len(names(tmp_path)) == 6
    # A file that is named is read whatever its kind, if its suffix is asked for.
    assert names(tmp_path / "src" / "a.py", (".py",)) == ["a.py"]


def test_single_file_is_named_without_its_folder(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"x")
    assert names(tmp_path / "a.txt") == ["a.txt"]


def test_directory_without_text_is_refused(tmp_path):
    (tmp_path / "README.md").write_bytes(b"x")
    with pytest.raises(errors.CorpusError, match="has no text files. Add"):
        names(tmp_path)


def test_file_of_another_suffix_is_refused(tmp_path):
    (tmp_path / "a.doc").write_bytes(b"x")
    with pytest.raises(
        errors.CorpusError,
        match=r"a\.doc is not named .* or \.parquet, perhaps with \.gz",
    ):
        names(tmp_path / "a.doc")


@cases.each("name", ["absent", "absent.txt"])
def test_missing_path_is_refused(tmp_path, name):
    with pytest.raises(errors.CorpusError, match="no such file"):
        names(tmp_path / name)


def test_directory_named_like_text_is_searched(tmp_path):
    (tmp_path / "folder.txt").mkdir()
    (tmp_path / "folder.txt" / "a.txt").write_bytes(b"x")
    assert names(tmp_path) == ["folder.txt/a.txt"]


def test_links_to_text_elsewhere_are_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.txt").write_bytes(b"x")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "folder").symlink_to(tmp_path / "elsewhere")
    assert names(tmp_path / "corpus") == ["folder/a.txt"]


@pytest.mark.fault(case=20)
@cases.each("link", ["loop", "twice.txt", "hard.txt"])
def test_same_text_twice_is_refused(tmp_path, link):
    (tmp_path / "a.txt").write_bytes(b"x")
    if link == "hard.txt":
        (tmp_path / link).hardlink_to(tmp_path / "a.txt")
    else:
        target = tmp_path if link == "loop" else tmp_path / "a.txt"
        (tmp_path / link).symlink_to(target)
    with pytest.raises(errors.CorpusError, match="are the same"):
        names(tmp_path)


@pytest.mark.fault(case=20)
def test_loop_without_text_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "loop").symlink_to(tmp_path)
    with pytest.raises(errors.CorpusError, match="are the same"):
        names(tmp_path)


@pytest.mark.fault(case=20)
def test_link_to_nothing_and_to_itself_are_refused(tmp_path):
    link = tmp_path / "a.txt"
    link.symlink_to(tmp_path / "absent")
    with pytest.raises(errors.CorpusError, match=r"a\.txt: no such file"):
        names(tmp_path)
    link.unlink()
    link.symlink_to(link)
    with pytest.raises(errors.InputOutputError, match=r"cannot read .*a\.txt"):
        names(tmp_path)


def test_device_is_refused(tmp_path):
    (tmp_path / "a.txt").symlink_to("/dev/null")
    with pytest.raises(errors.CorpusError, match="not a regular file"):
        names(tmp_path)


@pytest.mark.fault(case=20)
def test_changed_file_is_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"x")
    listed = files.list_files(path).files
    files.refuse_changed(listed)
    path.write_bytes(b"y")
    # As tar, rsync and cp -p do.
    os.utime(path, ns=(listed[0].times[0],) * 2)
    with pytest.raises(errors.CorpusError, match=r"a\.txt changed while"):
        files.refuse_changed(listed)


@pytest.mark.fault(case=16)
@cases.each("padding", [0, 1, 100_000])
@cases.each("second", [b"", b"second " * 20_000])
def test_members_and_padding_are_read(tmp_path, padding, second):
    path = tmp_path / "a.txt.gz"
    first = bytes(range(256)) * 10_000
    zeros = b"\0" * padding
    path.write_bytes(gzip.compress(first) + zeros + gzip.compress(second) + zeros)
    assert read(path) == first + second


def test_member_may_begin_anywhere_in_what_is_read_at_once(tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(b"".join(gzip.compress(text) for text in (b"ab", b"", b"cd")))
    for size in range(1, 50):
        assert b"".join(compression.read_pieces(path, size)) == b"abcd"


@pytest.mark.fault(case=16)
def test_cut_anywhere_is_truncated(tmp_path):
    path = tmp_path / "a.txt.gz"
    whole = gzip.compress(b"some text")
    for size in range(1, len(whole)):
        path.write_bytes(whole + whole[:size])
        with pytest.raises(errors.CorpusError, match="gzip member 2 is truncated"):
            read(path)


def flipped(data, index):
    return data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]


@pytest.mark.fault(case=16)
@cases.each(
    "data, message",
    [
        (flipped(gzip.compress(b"text"), -8), "gzip member 1 is damaged"),
        (flipped(gzip.compress(b"text"), -2), "gzip member 1 is damaged"),
        (
            gzip.compress(b"text") + b"junk",
            "there is something else after gzip member 1",
        ),
        (
            gzip.compress(b"text") + b"\x1fjunk",
            "there is something else after gzip member 1",
        ),
        (b"plain text", "this is not gzip data"),
        (b"\0" * 10, "this is not gzip data"),
    ],
)
def test_damage_names_file_and_member(tmp_path, data, message):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(data)
    with pytest.raises(errors.CorpusError, match=rf"a\.txt\.gz: {message}"):
        read(path)


@pytest.mark.fault(case=16)
def test_gzip_data_wants_its_suffix(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(gzip.compress(b"text"))
    for size in (1, 2**18):
        with pytest.raises(
            errors.CorpusError, match=r"a\.txt is compressed .* in \.gz"
        ):
            list(compression.read_pieces(path, size))


@pytest.mark.fault(case=17)
def test_bomb_is_read_in_bounded_memory(tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"a" * 2**26))
    assert path.stat().st_size < 2**17
    tracemalloc.start()
    size = sum(map(len, compression.read_pieces(path)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 2**26
    assert peak < 2**23
