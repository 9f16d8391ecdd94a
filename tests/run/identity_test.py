"""What a study was begun with, changed one thing at a time: resuming is refused and says what changed."""

import importlib.metadata
import shutil

import pytest

from jaxneurons import errors
from tests.support import cases, planted, studies

CHOSEN = {"window": 8, "windows_per_batch": 2}


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder with a model, a text, and a study of them that has only begun."""
    folder = tmp_path_factory.mktemp("begun")
    planted.write_store(folder / "store", _layers(4))
    planted.write_documents(folder / "text.jsonl", [[4, 5, 7, 8], [9] * 30])
    with pytest.raises(studies.Stop):
        _resume(folder, progress=studies.StopAtStart())
    return folder


@pytest.fixture
def folder(begun, tmp_path):
    """The same, to change."""
    return shutil.copytree(begun, tmp_path / "begun")


def _layers(token):
    return [planted.layer(planted.fires_on(token))] * 3


def _resume(folder, **chosen):
    sources = [("text", folder / "text.jsonl")]
    return studies.run_study(
        folder / "study", folder / "store", sources, **(CHOSEN | chosen)
    )


def _other_model(folder, patch):
    shutil.rmtree(folder / "store")
    planted.write_store(folder / "store", _layers(5))


def _other_text(folder, patch):
    planted.write_documents(folder / "text.jsonl", [[4, 5, 7, 8], [9] * 29 + [8]])


def _other_version(package):
    def change(folder, patch):
        version = importlib.metadata.version
        patch.setattr(
            importlib.metadata,
            "version",
            lambda name: "0.0.1" if name == package else version(name),
        )

    return change


def _not_installed(folder, patch):
    version = importlib.metadata.version
    # No package has this name.
    patch.setattr(
        importlib.metadata,
        "version",
        lambda name: version("no-such" if name == "jaxneurons" else name),
    )


CHANGES = {
    "model": (_other_model, {}, "model.fingerprint was"),
    "text": (_other_text, {}, "corpus.text.fingerprint was"),
    "code": (
        _other_version("jaxneurons"),
        {},
        "versions.jaxneurons was .* now '0.0.1'",
    ),
    "a checkout": (_not_installed, {}, "versions.jaxneurons was .* is now None"),
    "jax": (_other_version("jax"), {}, "versions.jax was .* now '0.0.1'"),
    "window": (None, {"window": 7}, "settings.window was 8 and is now 7"),
    "dtype": (None, {"dtype": "float16"}, "settings.dtype was 'float32'"),
    "layers": (None, {"layers": (0, 1)}, "settings.last_layer was 2 and is now 1"),
    "tokens": (None, {"max_tokens": 20}, "settings.max_tokens was None"),
    "batch": (
        None,
        {"windows_per_batch": 1},
        r"settings.windows_per_batch was 2 and is now 1 \(rounding depends on it",
    ),
}


@pytest.mark.fault(case=25)
@cases.each("change", CHANGES, fresh="folder")
def test_each_change_is_named_and_nothing_touched(folder, monkeypatch, change):
    apply, chosen, message = CHANGES[change]
    if apply:
        apply(folder, monkeypatch)
    before = (folder / "study" / "study.json").read_bytes()
    with pytest.raises(errors.MismatchError, match=message) as caught:
        _resume(folder, **chosen)
    assert "\n" not in str(caught.value)
    assert (folder / "study" / "study.json").read_bytes() == before


@pytest.mark.campaign
@pytest.mark.fault(case=25)
def test_a_model_that_was_moved_is_the_same(folder, tmp_path):
    (folder / "store").rename(tmp_path / "elsewhere")
    (folder / "store").symlink_to(tmp_path / "elsewhere")
    assert _resume(folder).facts.complete
