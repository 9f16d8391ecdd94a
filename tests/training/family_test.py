"""The family as its script trains it, then a study of one member's checkpoint and its export."""

import json
import pathlib

import pytest
import safetensors.numpy

from jaxneurons import errors
from jaxneurons.training import family, loop, recipe, run
from jaxneurons.training import record as records
from tests.support import training_text
from tests.support.helpers import run_script

# Scripts start Python five times.
pytestmark = pytest.mark.slow

FLAGS = [
    "--layers=1",
    "--hidden_size=16",
    "--ffn_dim=32",
    "--heads=2",
    "--window=24",
    "--vocab_size=270",
    "--steps=4",
    "--windows_per_step=4",
    "--warmup_steps=1",
    "--log_every=1",
    "--validation_share=0.1",
    "--keep=2",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a text, and the family trained on it by the script."""
    folder = tmp_path_factory.mktemp("family")
    text = training_text.write_documents(folder / "text.jsonl")
    done = run_script(
        folder / "cache",
        "train_family",
        f"--corpus=chain={text}",
        f"--out={folder / 'models'}",
        *FLAGS,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained ") == 3
    return folder


def identity_of(folder: pathlib.Path, member: str) -> dict:
    return records.open_record(folder / "models" / member).entries["identity"]


@pytest.mark.parametrize("member", ["no_positions", "post_layer_norm"])
def test_members_differ_from_the_base_in_one_thing(folder, member):
    base, other = identity_of(folder, "base"), identity_of(folder, member)
    differing = {
        field
        for field in base["model"]
        if base["model"][field] != other["model"][field]
    }
    assert differing == set(family.MEMBERS[member]) - {
        field
        for field, value in family.MEMBERS[member].items()
        if value == family.MEMBERS["base"][field]
    }
    assert len(differing) == 1
    assert {**other, "model": None} == {**base, "model": None}


def test_a_finished_family_is_refused(folder):
    request = run.Request(
        sources=(("chain", folder / "text.jsonl"),),
        out=folder / "models",
        sizes={
            "hidden_size": 16,
            "ffn_dim": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 24,
        },
        recipe=recipe.Recipe(steps=4, windows_per_step=4, warmup_steps=1),
        vocab_size=270,
        validation_share=0.1,
        cadence=loop.Cadence(log_every=1),
    )
    with pytest.raises(errors.OutputExistsError, match="all models are finished"):
        family.train_family(request)


def test_a_study_takes_a_training_directory_and_a_step(folder, tmp_path):
    study = tmp_path / "study"
    done = run_script(
        folder / "cache",
        "study",
        f"--model={folder / 'models' / 'base'}",
        "--step=2",
        f"--corpus=chain={folder / 'text.jsonl'}",
        "--max_tokens=480",
        f"--study={study}",
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((study / "summary.json").read_bytes())
    assert summary["model"]["neurons"] == 32


def test_a_study_of_a_step_without_checkpoint_is_refused(folder, tmp_path):
    refused = run_script(
        folder / "cache",
        "study",
        f"--model={folder / 'models' / 'base'}",
        "--step=3",
        f"--corpus=chain={folder / 'text.jsonl'}",
        f"--study={tmp_path / 'study'}",
    )
    assert refused.returncode == 65
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "study").exists()


def test_export_writes_a_checkpoint_of_the_type_asked_for(folder, tmp_path):
    out = tmp_path / "exported"
    done = run_script(
        folder / "cache",
        "train",
        f"--out={folder / 'models' / 'no_positions'}",
        f"--export={out}",
        "--export_dtype=float16",
    )
    assert done.returncode == 0, done.stderr
    weights = safetensors.numpy.load_file(out / "model.safetensors")
    assert {str(array.dtype) for array in weights.values()} == {"float16"}
    positions = [name for name in weights if "embed_positions" in name]
    assert len(positions) == 1
    assert not weights[positions[0]].any()
