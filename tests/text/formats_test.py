"""Text in every format that researchers have it in: the same documents, one field of many, places named."""

import csv
import gzip
import importlib
import io
import json
import subprocess
import sys
import types

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.text import corpora, corpus, documents, files, sources
from jaxneurons.text.selection import Passed, Selection
from tests.support import cases, tiny_tokenizers

TEXTS = ['one, "two"\nthree', "é\t{[]}", "", "a\\", "x" * 1000]
DOMAINS = ["a", "b", "a", "b", "a"]
RECORDS = [
    {"content": text, "meta": {"set": name}, "other": 5}
    for text, name in zip(TEXTS, DOMAINS, strict=True)
]
ALL = Selection()
CHOSEN = Selection("content", {"meta.set": "a"})


def as_table(delimiter):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\r\n")
    writer.writerows(
        [["content", "meta.set", "other"]]
        + [[record["content"], record["meta"]["set"], 5] for record in RECORDS]
    )
    return out.getvalue().encode()


def as_parquet(records=RECORDS, rows=2):
    arrow = pytest.importorskip("pyarrow")
    out = io.BytesIO()
    importlib.import_module("pyarrow.parquet").write_table(
        arrow.Table.from_pylist(records), out, row_group_size=rows
    )
    return out.getvalue()


def zstd(data):
    module = pytest.importorskip("zstandard")
    # Two frames, as of files that were put together.
    return b"".join(map(module.compress, (data[:50], data[50:])))


LINES = b"".join(json.dumps(record).encode() + b"\n" for record in RECORDS)
ARRAY = b" \n" + json.dumps(RECORDS, indent=2, ensure_ascii=False).encode() + b"\n"
FORMATS = {
    "a.jsonl": lambda: LINES,
    "a.jsonl.gz": lambda: gzip.compress(LINES),
    "a.jsonl.zst": lambda: zstd(LINES),
    "a.json": lambda: ARRAY,
    "lines.json": lambda: LINES,
    "a.json.zst": lambda: zstd(ARRAY),
    "a.csv": lambda: as_table(","),
    "a.tsv.gz": lambda: gzip.compress(as_table("\t")),
    "a.parquet": as_parquet,
}


def read(path, selected=ALL, **options):
    [file] = files.list_files(path).files
    return list(documents.read_documents(file, selected, **options))


def contents(found):
    return [each.content for each in found if not isinstance(each, Passed)]


@cases.each("name", FORMATS)
def test_every_format_gives_the_documents_of_the_field_that_is_asked_for(
    name, tmp_path
):
    path = tmp_path / name
    path.write_bytes(FORMATS[name]())
    for size in (1, 7, 2**18):
        assert contents(read(path, Selection("content"), piece_bytes=size)) == TEXTS
    chosen = read(path, CHOSEN)
    assert contents(chosen) == TEXTS[::2] and len(chosen) == 5
    assert (
        contents(read(path, CHOSEN._replace(where={"meta.set": ["a", "b"]}))) == TEXTS
    )
    with pytest.raises(errors.CorpusError, match=r"Name the .*field|Name the one") as e:
        read(path)
    assert "content" in str(e.value)


BAD = {
    "truncated array": ("a.json", b'[{"text": "a"}, {"text": [', "the file ends inside the array, after"),
    "torn element": ("a.json", b'["a",\n"b" "c"]', ":2: not valid JSON: Extra data"),
    "behind the array": ("a.json", b'["a"]\n]', ":1: something stands behind"),
    "trailing comma": ("a.json", b'["a",\n\n]', ":3: not valid JSON: Expecting value"),
    "number in array": ("a.json", b'["a",\n 5]', ":2: expected a JSON object, found a number"),
    "empty array": ("a.json", b" [ ]\n", "has no document"),
    "short row": ("a.csv", b'text,b\n"1\n2",3\n4\n', ":4: this row has 1 fields, and the header 2"),
    "open quote": ("a.csv", b'text\n1\n"2\n3\n', ":3: not a valid row: unexpected end of data"),
    "header": ("a.csv", b"text,text\n1,2\n", ':1: the header names "text" twice'),
    "header alone": ("a.csv", b"text\n", "has no document"),
    "utf-8": ("a.tsv", b"text\na\n\xff\n", ":3: byte 0xff is not UTF-8"),
    "no parquet": ("a.parquet", b"PAR1 no", r"a\.parquet: not a parquet file"),
    "zst by name": ("a.jsonl.zst", LINES, "this is not zstd data. Rename"),
    "zst unnamed": ("a.jsonl", b"\x28\xb5\x2f\xfd..", r"compressed with zstd. .* in \.zst"),
}  # fmt: skip


@pytest.mark.fault(case=18)
def test_damage_is_named_with_its_place(tmp_path):
    pytest.importorskip("pyarrow")
    pytest.importorskip("zstandard")
    for name, data, message in BAD.values():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(errors.CorpusError, match=message):
            read(tmp_path / name)
    whole = zstd(LINES)
    for data, message in (
        (whole[:-1], "zstd frame 2 is truncated"),
        (
            whole.replace(b"\x28\xb5", b"\x28\xb6").replace(
                b"\x28\xb6", b"\x28\xb5", 1
            ),
            "zstd frame 2 is damaged",
        ),
        (whole + b"junk and more", "zstd frame 3 is damaged"),
    ):
        (tmp_path / "a.jsonl.zst").write_bytes(data)
        with pytest.raises(errors.CorpusError, match=message):
            read(tmp_path / "a.jsonl.zst", Selection("content"))
    texts = [{"text": "word " * 100 + str(number)} for number in range(40)]
    whole = bytearray(as_parquet([*texts, {"text": "a\0"}, {"text": None}], 20))
    (tmp_path / "a.parquet").write_bytes(whole)
    with pytest.raises(
        errors.CorpusError, match="row group 2, row 0: the text contains U"
    ):
        read(tmp_path / "a.parquet")
    middle = whole.index(b"word", len(whole) // 3)
    whole[middle - 40 : middle] = b"\xff" * 40
    (tmp_path / "a.parquet").write_bytes(whole)
    with pytest.raises(
        errors.CorpusError, match=r"a\.parquet: row group [01]: not a parq"
    ):
        read(tmp_path / "a.parquet")


@cases.each(
    "record, selected, message",
    [
        ('{"a": 1}', Selection("b"), 'there is no "b". '),
        ('{"a": 1}', ALL, 'needs either "text" or "tokens", this has neither'),
        ('"text"', Selection(where={"a": 1}), "plain text has no fields, so none"),
        ('{"text": null}', ALL, 'expected a string as "text", found null'),
    ],
)
def test_a_record_without_the_field_is_named(tmp_path, record, selected, message):
    (tmp_path / "a.json").write_text(f"[{record}]")
    with pytest.raises(errors.CorpusError, match=message):
        read(tmp_path / "a.json", selected)


def test_documents_are_limited_in_every_format(tmp_path):
    for name, make in FORMATS.items():
        (tmp_path / name).write_bytes(make())
        with pytest.raises(
            errors.CorpusError, match="document has more than 500 bytes"
        ):
            read(tmp_path / name, Selection("content"), limit=500)


def test_what_is_read_and_left_out_is_counted_and_kept_with_the_tokens(tmp_path):
    lines = [
        {"text": text, "set": name} for text, name in zip(TEXTS, DOMAINS, strict=True)
    ]
    (tmp_path / "in").mkdir()
    tiny_tokenizers.write_lines(tmp_path / "in" / "a.jsonl", lines)
    (tmp_path / "in" / "README.md").write_text("about")
    source = sources.Source((tmp_path / "in",), Selection("text", {"set": "a"}))
    other = sources.Source(
        (tmp_path / "in" / "a.jsonl",), Selection("text", {"set": "b"})
    )
    strings = (text for text in TEXTS)

    def load(*given, limit=None):
        return corpus.load_windows(
            given,
            tiny_tokenizers.load(),
            tiny_tokenizers.CONFIG,
            8,
            limit,
            tmp_path / "cache",
        )

    for _ in range(2):
        a, b = load(("a", source), ("b", other)).readings
        assert (a.documents, a.bytes, b.documents) == (3, 16 + 1000, 2)
        assert [str(each) for each in a.left_out] == [
            "1 file: README.md (not named like the text that is read)",
            "2 documents (they are not of this domain)",
        ]
        # The beginning of what is cached, or read anew, says the same.
        [part] = load(("a", source), limit=20).readings
        assert (part.documents, part.left_out[-1].number) == (1, None)
    memory = load(("mine", sources.make_source(strings)))
    assert memory.readings[0].documents == 5
    assert (
        memory.fingerprints
        == load(("mine", sources.make_source([*TEXTS]))).fingerprints
    )
    assert (
        memory.fingerprints != load(("mine", sources.make_source(["a"]))).fingerprints
    )
    for wrong, message in (
        ([("a", source), ("b", tmp_path / "in" / "a.jsonl")], "are the same"),
        ([("a", source), ("b", source)], "are the same"),
        ([("a", source._replace(selection=Selection("text", {"set": "c"})))], 'no document has set = "c"'),
        ([("a", sources.make_source(["a", 5]))], r"a\[1\]: expected a string, found int"),
    ):  # fmt: skip
        with pytest.raises(errors.CorpusError, match=message):
            load(*wrong)


def test_a_file_lists_domains(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_bytes(LINES)
    monkeypatch.setenv("WHERE", str(tmp_path))
    path = tmp_path / "corpora.json"
    domain = {
        "name": "a",
        "path": "a.jsonl",
        "key": "content",
        "where": {"meta.set": "a"},
    }
    hub = {"name": "hub", "path": "hf://owner/name"}
    variable = {"name": "b", "path": ["$WHERE/a.jsonl"], "suffix": ".py"}
    path.write_text(json.dumps({"domains": [domain, hub, variable]}))
    found = corpora.read(path)
    assert found[0] == ("a", sources.Source((tmp_path / "a.jsonl",), CHOSEN))
    assert found[1][1].places == ("hf://owner/name",)
    assert found[2][1] == sources.Source((tmp_path / "a.jsonl",), suffixes=(".py",))
    for wrong, message in (
        ({}, 'expected {"domains"'),
        ([{"name": "a"}], "domain 0: expected an object with name and path"),
        ([domain | {"filter": 5}], "domain 0: expected an object"),
        ([domain | {"where": "a"}], 'its where is "a", which'),
        ([domain, domain], "two of the name 'a'"),
        ([domain | {"name": "a/b"}], "the name holds"),
        ([domain | {"path": "$NOWHERE/a"}], "variable NOWHERE, which is not set"),
        ([domain | {"path": "absent.txt"}], "does not exist"),
        ([domain | {"path": "s3://b/a"}], "s3://b/a is not a local path"),
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(errors.JaxneuronsError, match=message):
            corpora.read(path)
    with pytest.raises(errors.UsageError, match="s3://b/a is not a local path"):
        sources.make_source("s3://b/a")
    for name in ("PILE", "REDDIT"):
        monkeypatch.setenv(name, str(tmp_path))
    for part in ("val", "test"):
        (tmp_path / f"{part}.jsonl.zst").touch()
    shipped = corpora.read(files.__file__.replace("files.py", "paper_corpora.json"))
    assert len(shipped) == 9 and len(dict(shipped)["freelaw"].places) == 2


def test_hub_datasets_are_streamed_or_refused_in_one_line(monkeypatch):
    calls = []

    class Rows(list):
        @property
        def column_names(self):
            return ["content", "meta"]

        def select_columns(self, names):
            assert names == ["content", "meta"]
            return self

    def load_dataset(path, **options):
        calls.append((path, options))
        if path == "no/where":
            raise ConnectionError("offline")
        if options["split"] == "validation":
            raise ValueError("Bad split: validation.\nAvailable: train")
        return Rows(RECORDS)

    stub = types.SimpleNamespace(load_dataset=load_dataset)
    monkeypatch.setitem(sys.modules, "datasets", stub)
    address = "hf://codeparrot/clean?split=train&config=c"
    text = sources.open_text(sources.Source((address,), CHOSEN), "code")
    assert contents(text.read()) == TEXTS[::2]
    assert calls == [
        ("codeparrot/clean", {"split": "train", "name": "c", "streaming": True})
    ]
    for wrong, kind, message in (
        (
            "hf://a/b?split=validation",
            errors.CorpusError,
            "ValueError: Bad split: validation. Av",
        ),
        (
            "hf://no/where",
            errors.InputOutputError,
            "the hub cannot be reached .offline",
        ),
        ("hf://a/b?spilt=train", errors.UsageError, "is not hf://OWNER/NAME"),
        ("hf://", errors.UsageError, "is not hf://OWNER/NAME"),
    ):
        with pytest.raises(kind, match=message):
            list(sources.open_text(sources.make_source(wrong), "a").read())


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    for module, name in {
        "zstandard": "a.jsonl.zst",
        "pyarrow.parquet": "a.parquet",
    }.items():
        monkeypatch.setitem(sys.modules, module, None)
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(
            errors.UsageError, match=r"pip install 'jaxneurons\[text\]'"
        ):
            read(tmp_path / name)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(errors.UsageError, match=r"takes datasets, which"):
        list(sources.open_text(sources.make_source("hf://a/b"), "a").read())


READER = """
import pathlib, re, sys
from jaxneurons.text import documents, files
[file] = files.list_files(pathlib.Path(sys.argv[1])).files
size = sum(document.size for document in documents.read_documents(file))
# Not ru_maxrss, which begins with that of the process that started this one.
peak = re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]
print(size, int(peak) * 1024)
"""


@pytest.mark.fault(case=17)
@pytest.mark.campaign
def test_a_gigabyte_is_read_in_bounded_memory(tmp_path):
    arrow, zstandard = pytest.importorskip("pyarrow"), pytest.importorskip("zstandard")
    parquet = importlib.import_module("pyarrow.parquet")
    random = np.random.default_rng(0)
    block = [random.bytes(5000).hex() for _ in range(1000)]
    table = arrow.table({"text": block * 100})
    # All in one row group.
    parquet.write_table(
        table, tmp_path / "a.parquet", use_dictionary=False, compression="NONE"
    )
    with zstandard.open(tmp_path / "a.jsonl.zst", "wt") as file:
        for text in block * 100:
            file.write(json.dumps({"text": text}) + "\n")
    for name in ("a.parquet", "a.jsonl.zst"):
        command = [sys.executable, "-c", READER, tmp_path / name]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        size, peak = map(int, done.stdout.split())
        assert size == 10**9 and peak < 500 * 2**20, (name, peak)
