"""Addresses in an object store, and a store that is not there."""

import logging
import pathlib
import socket
import time

import pytest

import jaxneurons
from jaxneurons import errors
from jaxneurons.disk import places, requests
from tests.support import cases


@cases.each(
    "path, reason",
    [
        ("hdfs://host/study", "hdfs:// is not supported"),
        ("S3://bucket/study", "S3:// is not supported"),
        ("file:///study", "file:// is not supported"),
        ("gs://bucket", "names no folder in a bucket"),
        ("gs://bucket/", "names no folder in a bucket"),
        ("s3:///study", "names no folder in a bucket"),
        ("s3://bucket/a//b", "names no folder in a bucket"),
        ("s3://bucket/../b", "names no folder in a bucket"),
        ("s3://bucket/a\nb", "names no folder in a bucket"),
    ],
)
def test_an_address_that_means_nothing_is_refused(path, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.UsageError, match=reason):
        jaxneurons.open_study(path)
    assert not any(tmp_path.iterdir())


def test_a_local_path_stays_one():
    for path in ("a/b", "./c=d", "gs:", pathlib.Path("x")):
        assert places.parse(path) == pathlib.Path(path) == places.local(path)
    with pytest.raises(errors.UsageError, match="is not a local path"):
        places.local("s3://bucket/a")


def test_a_place_is_named_as_files_are():
    place = places.parse("s3://bucket/some/study/")
    assert str(place) == "s3://bucket/some/study"
    assert (place / "arrays" / "a").parent == place / "arrays"
    assert (place.name, (place / "b.c").name) == ("study", "b.c")


@cases.each(
    "variables, endpoint",
    [
        ({}, {}),
        ({"AWS_REGION": "eu-west-1"}, {}),
        (
            {"AWS_ENDPOINT_URL": "https://any.example/"},
            {"endpoint": "https://any.example", "aws_region": "us-east-1"},
        ),
        (
            {
                "AWS_ENDPOINT_URL": "https://any.example",
                "AWS_ENDPOINT_URL_S3": "https://s3.example",
                "AWS_DEFAULT_REGION": "eu-west-1",
            },
            {"endpoint": "https://s3.example", "aws_region": "eu-west-1"},
        ),
    ],
)
def test_an_endpoint_is_that_of_the_environment(variables, endpoint, monkeypatch):
    for name in ("ENDPOINT_URL_S3", "ENDPOINT_URL", "REGION", "DEFAULT_REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    spec = {"driver": "s3", "bucket": "bucket", "path": "study/"}
    assert places.parse("s3://bucket/study").kvstore == spec | endpoint


@cases.each(
    "scheme, listens, slow",
    [("s3", False, 0.2), ("gs", False, 0.2), ("s3", True, 0.2), ("gs", True, 6)],
    every_day=[("gs", True, 6)],
)
def test_a_host_that_does_not_answer(scheme, listens, slow, monkeypatch, caplog):
    with socket.socket() as host:
        host.bind(("127.0.0.1", 0))
        if listens:
            host.listen()
        url = f"http://127.0.0.1:{host.getsockname()[1]}"
        monkeypatch.setenv("TENSORSTORE_GCS_HTTP_URL", url)
        monkeypatch.setenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", "test")
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv(requests.VARIABLE, str(slow))
        caplog.clear()
        began = time.time()
        said = "has not answered for .* and the credentials"
        with pytest.raises(errors.InputOutputError, match=said) as caught:
            jaxneurons.open_study(f"{scheme}://bucket/study")
        assert caught.value.remedy == {"remote_seconds": f"{10 * slow:g}"}
        assert slow < time.time() - began < slow + 30
    [said] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "does not answer; giving up after" in said.message


def test_seconds_that_mean_nothing_are_refused(monkeypatch):
    for text in ("soon", "0", "-1", "nan", "inf"):
        monkeypatch.setenv(requests.VARIABLE, text)
        with pytest.raises(errors.UsageError, match=requests.VARIABLE):
            requests.patience()
