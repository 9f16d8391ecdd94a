"""JSON means one thing only, or one line says where and why not; what is written reads back."""

import pytest

from jaxneurons import errors
from jaxneurons.disk import strict_json
from tests.support import cases

REFUSED = {
    "empty": (b"", "not valid JSON: Expecting value at column 1"),
    "torn": (b'{"a": [1,\n2', "line 2, column 2"),
    "two values": (b'{"a": 1} {}', "Extra data at column 10"),
    "a key twice": (b'{"x": {"a": 1, "a": 1}}', 'key "a" appears twice'),
    "NaN": (b'{"a": 1, "b": NaN}', '"b": NaN is not a finite number'),
    "infinity in a list": (b'{"b": [1, -Infinity]}', '"b": -Infinity is not'),
    "a number too large": (b'{"b": 1e999}', '"b": 1e999 is not a finite number'),
    "NaN alone": (b"NaN", "NaN is not a finite number"),
    "a long integer": (b'{"b": ' + b"7" * 5000 + b"}", '"b": an integer of 5000 dig'),
    "deep": (b'{"b": ' + b"[" * 10**5 + b"]" * 10**5 + b"}", "nested too deeply"),
    "not UTF-8": (b'{"a": \xff}', "not UTF-8 at byte 6"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8 at byte 0"),
    "a mark in text": ('\ufeff{"a": 1}', "BOM"),
}


@pytest.mark.fault(case=11)
@cases.each("name", REFUSED)
def test_what_means_two_things_or_none_is_refused(name):
    content, reason = REFUSED[name]
    with pytest.raises(errors.ConfigError) as caught:
        strict_json.parse(content, "a/config.json", errors.ConfigError)
    message = str(caught.value)
    assert message.startswith("a/config.json: ") and "\n" not in message
    assert reason in message and len(message) < 200


@cases.each("content", [b"[]", b"null", b'"a"', b"7", b"true"])
def test_an_object_is_told_from_other_values(content):
    with pytest.raises(
        errors.StoreError, match="expected a JSON object, found .*[a-z]"
    ):
        strict_json.parse_object(content, "x", errors.StoreError)


def test_values_come_as_they_are():
    content = b'\xef\xbb\xbf{"a": [1, -2.5e3, "\\u00e9", null, true], "b": {}}'
    wanted = {"a": [1, -2500.0, "é", None, True], "b": {}}
    assert strict_json.parse_object(content, "x", errors.StoreError) == wanted
    assert strict_json.parse(
        b'{"a": 12345678901234567890123456789012345}', "x", OSError
    )


@pytest.mark.fault(case=11)
def test_a_file_of_any_size_takes_little_memory(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(b'{"x": "' + b"x" * strict_json.MAX_BYTES + b'"}')
    with pytest.raises(errors.ConfigError, match="config.json: JSON of more than"):
        strict_json.read_object(path, errors.ConfigError)
    with pytest.raises(errors.InputOutputError, match="cannot read .*No such file"):
        strict_json.read_object(tmp_path / "absent", errors.ConfigError)


def test_what_is_written_reads_back():
    value = {"b": [1.5, "é\n"], "a": None}
    for content in (strict_json.to_bytes(value), strict_json.to_line(value)):
        assert strict_json.parse(content, "x", errors.StoreError) == value
    same = {"a": None, "b": [1.5, "é\n"]}
    assert strict_json.to_bytes(value) == strict_json.to_bytes(same)
    assert strict_json.to_line(value).count(b"\n") == 1
    for write in (strict_json.to_bytes, strict_json.to_line):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write({"a": float("nan")})
