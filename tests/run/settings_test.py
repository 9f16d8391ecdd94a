"""What a study computes in where nobody says, and which ways to multiply mean nothing."""

import jax
import pytest

from jaxneurons import errors
from jaxneurons.run import settings
from tests.support import cases, tiny_tokenizers


def resolve(monkeypatch, backend, **chosen):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    return settings.resolve(tiny_tokenizers.CONFIG, **chosen)


@cases.each(
    "backend, stored, given, computed",
    [
        ("cpu", "float16", "auto", "float32"),
        ("gpu", "float16", "auto", "float16"),
        ("gpu", "bfloat16", "auto", "bfloat16"),
        ("gpu", "float32", "auto", "float32"),
        ("gpu", "float16", "float32", "float32"),
        ("cpu", "float16", "bfloat16", "bfloat16"),
    ],
)
def test_the_stored_type_is_computed_in_on_accelerators(
    monkeypatch, backend, stored, given, computed
):
    found = resolve(monkeypatch, backend, stored=stored, dtype=given)
    assert found.dtype == found.arithmetic == computed


def test_another_precision_is_said(monkeypatch):
    found = resolve(monkeypatch, "gpu", precision="tf32x3")
    assert found.arithmetic == "float32 (tf32x3)"


@cases.each(
    "backend, chosen, message",
    [
        ("gpu", {"precision": "tf32"}, "Choose one of highest, tf32x3, bf16x3, bf16x6"),
        ("gpu", {"precision": "tf32x3", "stored": "float16"}, "but float16 is comp"),
        ("cpu", {"precision": "tf32x3"}, "for accelerators; a CPU multiplies float32"),
        ("cpu", {"dtype": "float64"}, "Choose one of auto, float32, bfloat16, float16"),
        ("cpu", {"examples": -1}, "examples is -1. Pass at least 0"),
        ("cpu", {"layers": 3}, "layers are 3. Give the first and the last"),
        ("cpu", {"candidate_coverage": 1}, "may have a coverage of"),
        ("cpu", {"candidate_share": 1.0}, "detectors are found at"),
    ],
)
def test_what_means_nothing_is_refused(monkeypatch, backend, chosen, message):
    with pytest.raises(errors.UsageError, match=message):
        resolve(monkeypatch, backend, **chosen)
