"""From a name to a directory: local ones as they are, ids through a stub of the hub on loopback."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading

import pytest
from huggingface_hub import constants

from convert import hub
from jaxneurons import errors
from jaxneurons.store import reading
from jaxneurons.text.tokenizer import Tokenizer
from tests.support import tiny_models

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class StubHub(http.server.ThreadingHTTPServer):
    """Serves one model, `tiny/opt`, from memory.

    Attributes:
        contents: its files.
        downloads: names of the files that were fetched.
    """

    def __init__(self, contents):
        super().__init__(("127.0.0.1", 0), StubHandler)
        self.contents = contents
        self.downloads = []

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}"


class StubHandler(http.server.BaseHTTPRequestHandler):
    """The four requests that a download makes: revision, tree, HEAD and GET of a file."""

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path in (f"/api/models/tiny/opt/revision/{x}" for x in ("main", COMMIT)):
            self.reply(json.dumps({"id": "tiny/opt", "sha": COMMIT}).encode())
        elif path == f"/api/models/tiny/opt/tree/{COMMIT}":
            self.reply(json.dumps(self.tree()).encode())
        elif path.startswith(f"/tiny/opt/resolve/{COMMIT}/"):
            self.reply_file(path.rpartition("/")[2])
        elif "/tiny/gated/" in path:
            self.reply(b"", 403, {"X-Error-Code": "GatedRepo"})
        elif "/tiny/opt/revision/" in path:
            self.reply(b"", 404, {"X-Error-Code": "RevisionNotFound"})
        else:
            self.reply(b"", 404, {"X-Error-Code": "RepoNotFound"})

    def tree(self):
        contents = self.server.contents
        return [
            {"type": "file", "path": name, "size": len(content), "oid": digest(content)}
            for name, content in contents.items()
        ]

    def reply_file(self, name):
        content = self.server.contents[name]
        if self.command == "GET":
            self.server.downloads.append(name)
        etag = {"ETag": f'"{digest(content)}"', "X-Repo-Commit": COMMIT}
        self.reply(content, 200, etag)

    def reply(self, content, status=200, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *arguments):
        """Says nothing: standard error belongs to the command under test."""


def digest(content):
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """A function that starts a hub of some files, which the library then takes for the real one."""
    servers = []
    cache = tmp_path / "cache"

    def start(contents):
        server = StubHub(contents)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        # The library reads HF_ENDPOINT once, when imported.
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        return server

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def model_files(tmp_path, **options):
    """A tiny model's files with some that are not for us."""
    directory = tiny_models.write(
        tiny_models.random_model(), tmp_path / "source", **options
    )
    extra = {
        "flax_model.msgpack": b"flax",
        "tf_model.h5": b"tensorflow",
        "modeling_opt.py": b"raise SystemExit",
        "vocab.json": b'{"a": 0}',
        "merges.txt": b"#version: 0.2\n",
    }
    contents = {path.name: path.read_bytes() for path in directory.iterdir()}
    return contents | extra


def test_safetensors_alone_are_downloaded_where_there_are_both(serve, tmp_path):
    contents = model_files(tmp_path, shards=2)
    server = serve(contents | {"pytorch_model.bin": b"torch"})
    directory = hub.resolve("tiny/opt")
    unwanted = {"flax_model.msgpack", "tf_model.h5", "modeling_opt.py"}
    wanted = contents.keys() - unwanted
    assert (
        set(server.downloads) == {path.name for path in directory.iterdir()} == wanted
    )
    for path in directory.iterdir():
        assert path.read_bytes() == contents[path.name]


def test_bin_is_downloaded_where_there_is_nothing_else(serve, tmp_path):
    server = serve(model_files(tmp_path, shards=2, suffix=".bin"))
    directory = hub.resolve("tiny/opt")
    shards = {f"pytorch_model-0000{shard}-of-00002.bin" for shard in (1, 2)}
    others = {"config.json", "pytorch_model.bin.index.json", "vocab.json", "merges.txt"}
    assert {path.name for path in directory.iterdir()} == shards | others
    assert len(server.downloads) == len(set(server.downloads))


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_a_cached_model_needs_no_network(serve, tmp_path, monkeypatch, suffix):
    server = serve(model_files(tmp_path, suffix=suffix))
    directory = hub.resolve("tiny/opt")
    server.shutdown()
    server.server_close()
    assert hub.resolve("tiny/opt") == directory
    with pytest.raises(errors.InputOutputError, match=r"tiny/other: .*no such dir"):
        hub.resolve("tiny/other")


@pytest.mark.parametrize(
    "name, revision, kind, fragment",
    [
        ("tiny/absent", None, errors.CheckpointError, "no such model on the hub"),
        ("tiny/gated", None, errors.CheckpointError, "licence"),
        ("tiny/opt", "v9", errors.CheckpointError, "no revision v9"),
        ("tiny/opt/", None, errors.UsageError, "not a directory"),
        ("/no/such/place", None, errors.UsageError, "not a directory"),
        ("a--b/c", None, errors.UsageError, "not an id"),
    ],
)
def test_what_is_not_there_is_one_line(serve, name, revision, kind, fragment):
    serve({})
    with pytest.raises(kind) as caught:
        hub.resolve(name, revision)
    assert name in str(caught.value) and fragment in str(caught.value)
    assert "\n" not in str(caught.value)


def test_directories_are_taken_as_they_are(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert hub.resolve(tmp_path) == tmp_path
    assert hub.resolve(str(tmp_path)) == tmp_path
    with pytest.raises(errors.UsageError, match="has no revision main"):
        hub.resolve(tmp_path, "main")
    with pytest.raises(errors.UsageError, match="not a directory"):
        hub.resolve(tmp_path / "config.json")


@pytest.mark.fault(case=1)
@pytest.mark.parametrize("commit", ["../elsewhere", "..", ".", "", "first/x", "\0"])
def test_a_reference_does_not_lead_out_of_the_folder(tmp_path, commit):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "snapshots" / "first" / "x").mkdir(parents=True)
    (tmp_path / "refs").mkdir()
    (tmp_path / "refs" / "main").write_text(commit)
    with pytest.raises(errors.CheckpointError, match=r"no snapshot of main.*first"):
        hub.resolve(tmp_path)


@pytest.mark.fault(case=26)
@pytest.mark.parametrize("name", ["", "x" * 300, "x/" * 3000])
def test_a_name_that_cannot_be_is_one_line(name):
    with pytest.raises(errors.UsageError, match="not a directory, and not an id"):
        hub.resolve(name)


def test_a_folder_of_the_cache_stands_for_its_main_snapshot(tmp_path):
    for commit in ("first", "second"):
        (tmp_path / "snapshots" / commit).mkdir(parents=True)
    with pytest.raises(errors.CheckpointError, match=r"no snapshot of main.*first"):
        hub.resolve(tmp_path)
    (tmp_path / "refs").mkdir()
    (tmp_path / "refs" / "main").write_text("second")
    assert hub.resolve(tmp_path) == tmp_path / "snapshots" / "second"
    assert hub.resolve(tmp_path, "first") == tmp_path / "snapshots" / "first"


def test_the_script_downloads_and_converts(serve, tmp_path):
    server = serve(model_files(tmp_path))
    command = [
        sys.executable,
        "scripts/convert_opt.py",
        "--hf=tiny/opt",
        f"--store={tmp_path / 'store'}",
    ]
    environment = os.environ | {
        "HF_ENDPOINT": server.endpoint,
        "HF_HOME": str(tmp_path / "home"),
    }
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    opened = reading.open_store(tmp_path / "store")
    assert opened.manifest["source"]["name"] == "tiny/opt"
    found = Tokenizer.from_json(opened.read_tokenizer(), "the store's")
    assert found.encode(["aa"]) == [[0, 0]]
