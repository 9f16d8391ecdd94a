"""Documents from files, and every way in which a file is not one of documents."""

import gzip
import json
import tracemalloc

import pytest

from jaxneurons import errors
from jaxneurons.text import documents, files
from tests.support import cases


def read(path, **options):
    [file] = files.list_files(path).files
    return list(documents.read_documents(file, **options))


@pytest.fixture(params=["", ".gz"])
def write(request, tmp_path):
    """Writes bytes to a file of this name, plain or compressed; returns its path."""

    def write_file(name, data):
        path = tmp_path / (name + request.param)
        path.write_bytes(gzip.compress(data) if request.param else data)
        return path

    return write_file


def contents(path, **options):
    return [document.content for document in read(path, **options)]


def test_txt_is_one_document_as_it_is(write):
    path = write("a.txt", b" one\r\n\n two\xe2\x82\xac\n")
    assert read(path) == [documents.Document(f"{path}:1", " one\r\n\n two€\n")]


@pytest.mark.fault(case=18)
def test_jsonl_is_a_document_a_line(write):
    path = write(
        "a.jsonl",
        b'{"text": "one\\ntwo", "source": "x"}\r\n\n \t\r\n'
        b'{"id": 3, "tokens": [5, 0]}\n{"text": ""}\n{"text": "\\ud83d\\ude00"}',
    )
    assert read(path) == [
        documents.Document(f"{path}:1", "one\ntwo"),
        documents.Document(f"{path}:4", [5, 0]),
        documents.Document(f"{path}:5", ""),
        documents.Document(f"{path}:6", "😀"),
    ]


@pytest.mark.fault(case=18)
@cases.each("name", ["a.txt", "a.jsonl"])
def test_byte_order_mark_is_no_text(write, name):
    text = '{"text": "é"}' if name == "a.jsonl" else "é"
    assert contents(write(name, b"\xef\xbb\xbf" + text.encode())) == ["é"]


def test_only_the_first_byte_order_mark_is_none(write):
    mark = b"\xef\xbb\xbf"
    assert contents(write("a.txt", mark + b"a" + mark)) == ["a\ufeff"]
    with pytest.raises(errors.CorpusError, match=r":2: not valid JSON"):
        read(write("a.jsonl", b'{"text": "a"}\n' + mark + b'{"text": "b"}'))


@cases.each("size", [1, 2, 3, 7])
def test_lines_do_not_depend_on_how_much_is_read_at_once(write, size):
    data = b'\xef\xbb\xbf{"text": "one"}\r\n\n{"text": "two"}\n'
    path = write("a.jsonl", data)
    assert contents(path, piece_bytes=size) == ["one", "two"]


@cases.each("name", ["a.txt", "a.jsonl"])
@cases.each("data", [b"", b"\xef\xbb\xbf"])
def test_empty_file_is_named_empty(write, name, data):
    with pytest.raises(errors.CorpusError, match="has no document"):
        read(write(name, data))


def test_file_of_blank_lines_is_named_empty(write):
    with pytest.raises(errors.CorpusError, match="has no document"):
        read(write("a.jsonl", b"\n \n"))


@pytest.mark.fault(case=16)
@cases.each("name", ["a.txt.gz", "a.jsonl.gz"])
def test_gzip_file_of_no_bytes_is_named_empty(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(
        errors.CorpusError, match=r"has no document \(0 bytes as stored"
    ):
        read(tmp_path / name)


BAD_LINES = {
    "not json": (b"text", "not valid JSON: Expecting value at column 1"),
    "torn": (b'{"text": "a', "not valid JSON: Unterminated string"),
    "two values": (b'{"text": "a"} {}', "not valid JSON: Extra data at column 15"),
    "nan": (b'{"text": "a", "x": NaN}', "NaN is not a finite number"),
    "infinity": (b'{"text": "a", "x": -Infinity}', "-Infinity is not a finite number"),
    "list": (b'["a"]', "expected a JSON object, found a list"),
    "string": (b'"a"', "expected a JSON object, found a string"),
    "neither": (b'{"Text": "a"}', 'either "text" or "tokens", this has neither'),
    "both": (b'{"text": "a", "tokens": null}', '"text" or "tokens", this has both'),
    "duplicate": (b'{"text": "a", "text": "b"}', 'key "text" appears twice'),
    "inner duplicate": (
        b'{"text": "a", "x": {"y": 1, "y": 1}}',
        'key "y" appears twice',
    ),
    "null text": (b'{"text": null}', 'a string as "text", found null'),
    "number text": (b'{"text": 5}', 'a string as "text", found a number'),
    "surrogate": (b'{"text": "a\\ud800"}', "text contains U.D800, half of a surrogate"),
    "escaped zero": (b'{"text": "a\\u0000"}', "text contains U.0000"),
    "zero": (b'{"text": "a\0"}', "byte 0x00 is not UTF-8"),
    "utf-8": (b'{"text": "a\xff"}', "byte 0xff is not UTF-8"),
    "encoded surrogate": (b'{"text": "\xed\xa0\x80"}', "byte 0xed is not UTF-8"),
    "deep": (b'{"text": ' + b"[" * 100_000, "JSON is nested too deeply"),
    "deep objects": (b'{"a":' * 100_000, "JSON is nested too deeply"),
    "huge integer": (
        b'{"tokens": [' + b"9" * 5000 + b"]}",
        "an integer of 5000 digits",
    ),
    "text tokens": (b'{"tokens": "a"}', 'a list as "tokens", found a string'),
    "float token": (b'{"tokens": [5, 6.0]}', r"as tokens\[1\], found a number"),
    "bool token": (b'{"tokens": [true]}', r"as tokens\[0\], found a boolean"),
    "null token": (b'{"tokens": [5, 6, null]}', r"as tokens\[2\], found null"),
}


@pytest.mark.fault(case=18)
@cases.each("case", BAD_LINES)
def test_bad_line_is_named(write, case):
    line, message = BAD_LINES[case]
    path = write("a.jsonl", b'{"text": "good"}\r\n\n' + line + b'\n{"text": "good"}\n')
    with pytest.raises(errors.CorpusError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 250


@cases.each(
    "data, message",
    [
        (b"one\ntwo\xff", ":2: byte 0xff is not UTF-8"),
        (b"one\n\ntwo\0", ":3: byte 0x00 is not UTF-8"),
        ("text".encode("utf-16"), "is UTF-16 text. Convert it to UTF-8"),
        (b"cut \xe2\x82", r":1: byte 0xe2 is not UTF-8 \(unexpected end"),
    ],
)
def test_bad_txt_is_named(write, data, message):
    with pytest.raises(errors.CorpusError, match=message):
        read(write("a.txt", data))


@pytest.mark.fault(case=18)
def test_duplicate_among_many_keys_is_found(write):
    keys = ", ".join(f'"{number}": 0' for number in range(200_000))
    with pytest.raises(errors.CorpusError, match='key "text" appears twice'):
        read(write("a.jsonl", f'{{{keys}, "text": "", "text": ""}}'.encode()))


@pytest.mark.fault(case=17)
@cases.each("end", [b"", b"\n"])
@cases.each("name", ["a.txt", "a.jsonl"])
def test_limit_of_a_document(write, name, end):
    data = b'{"text": "abc"}'
    assert len(read(write(name, data), limit=15)) == 1
    with pytest.raises(errors.CorpusError, match=":1: this document has more than 15 "):
        read(write(name, data + b" " + end), limit=15)


@pytest.mark.fault(case=17)
@cases.each("name", ["a.txt.gz", "a.jsonl.gz"])
def test_endless_line_is_given_up_in_bounded_memory(tmp_path, name):
    (tmp_path / name).write_bytes(gzip.compress(b" " * 2**26))
    tracemalloc.start()
    with pytest.raises(errors.CorpusError, match="more than 1048576 bytes"):
        read(tmp_path / name, limit=2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


@pytest.mark.fault(case=17)
def test_long_file_of_lines_is_read_in_bounded_memory(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    line = json.dumps({"text": "word " * 50_000}).encode() + b"\n"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(200):
            file.write(line)
    [file] = files.list_files(path).files
    tracemalloc.start()
    count = sum(1 for _ in documents.read_documents(file))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 200
    assert peak < 2**24


def test_documents_before_a_fault_are_read(write):
    path = write("a.jsonl", b'{"text": "one"}\n{')
    [file] = files.list_files(path).files
    reader = documents.read_documents(file)
    assert next(reader).content == "one"
    with pytest.raises(errors.CorpusError, match=":2: not valid JSON"):
        next(reader)
