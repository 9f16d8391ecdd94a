"""A hub of one model on loopback, and a process that resolves ids on it.

The library reads where the hub is from the environment, once, so the process begins with another
environment than this one, whatever this one says of the hub.
"""

import hashlib
import http.server
import json
import multiprocessing
import socketserver
import threading
import urllib.parse

import pytest

from convert import hub


class StubHub(http.server.ThreadingHTTPServer):
    """Serves one model, `tiny/opt`, from memory.

    Attributes:
        contents: its files.
        commit: other for other files, as the library remembers what a commit holds.
        downloads: names of the files that were fetched.
    """

    def __init__(self, port, contents):
        super().__init__(("127.0.0.1", port), StubHandler)
        self.contents = contents
        self.commit = digest(repr(contents).encode())
        self.downloads = []


class StubHandler(http.server.BaseHTTPRequestHandler):
    """The four requests that a download makes: revision, tree, HEAD and GET of a file."""

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = urllib.parse.unquote(self.path.partition("?")[0])
        commit = self.server.commit
        files = f"/tiny/opt/resolve/{commit}/"
        if path in (f"/api/models/tiny/opt/revision/{x}" for x in ("main", commit)):
            self.reply(json.dumps({"id": "tiny/opt", "sha": commit}).encode())
        elif path == f"/api/models/tiny/opt/tree/{commit}":
            self.reply(json.dumps(self.tree()).encode())
        elif path.startswith(files):
            self.reply_file(path.removeprefix(files))
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
        etag = {"ETag": f'"{digest(content)}"', "X-Repo-Commit": self.server.commit}
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


class Remote:
    """The stub, which runs where a test says so, and a process that takes it for the hub.

    Attributes:
        environment: of such a process.
        cache: the library's.
        downloads: names of the files that were fetched since the stub was started last.
    """

    def __init__(self, folder):
        with socketserver.TCPServer(("127.0.0.1", 0), None) as free:
            self._port = free.server_address[1]
        self.cache = folder / "cache"
        self.environment = {
            "HF_ENDPOINT": f"http://127.0.0.1:{self._port}",
            "HF_HOME": str(folder),
            "HF_HUB_CACHE": str(self.cache),
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1",
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            self._process = multiprocessing.get_context("spawn").Pool(1)
        self._server = None

    @property
    def downloads(self):
        return self._server.downloads

    def serve(self, contents):
        self.stop()
        self._server = StubHub(self._port, contents)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def resolve(self, name, revision=None):
        return self._process.apply(hub.resolve, (name, revision))

    def close(self):
        self.stop()
        self._process.terminate()
