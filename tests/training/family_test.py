"""The family: three models that differ in one thing each; and the scripts that take a training directory."""

import dataclasses
import json

import pytest
import safetensors.numpy

from jaxneurons import errors
from jaxneurons.training import family
from jaxneurons.training import run as runs
from jaxneurons.training.request import Cadence
from tests.support import cases, training_runs
from tests.support.helpers import run_script


def request_of(folder):
    return training_runs.request(
        folder,
        folder / "models",
        recipe=dataclasses.replace(training_runs.RECIPE, steps=4, warmup_steps=1),
        tokenizer=None,
        vocab_size=270,
        cadence=Cadence(keep=(2,)),
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The folders of the family, trained for a few steps."""
    folder = tmp_path_factory.mktemp("family")
    trained = family.train_family(request_of(folder))
    assert [path.name for path in trained] == list(family.MEMBERS)
    return folder / "models"


@cases.each(
    "member, field",
    [("no_positions", "positions"), ("post_layer_norm", "do_layer_norm_before")],
)
def test_members_differ_from_the_base_in_one_thing(models, member, field):
    base, other = (runs.open_run(models / name).identity for name in ("base", member))
    assert getattr(base.model, field) != getattr(other.model, field)
    changed = dataclasses.replace(other.model, **{field: getattr(base.model, field)})
    assert dataclasses.replace(other, model=changed) == base


@pytest.mark.fault(case=30)
def test_a_finished_family_is_refused(models):
    with pytest.raises(errors.OutputExistsError, match="all models are finished"):
        family.train_family(request_of(models.parent))


def test_a_study_takes_a_training_directory_and_a_step(models, tmp_path):
    def study(step):
        return run_script(
            tmp_path / "cache",
            "study",
            f"--model={models / 'base'}",
            f"--step={step}",
            f"--corpus=chain={models.parent / 'text.jsonl'}",
            "--max_tokens=480",
            f"--study={tmp_path / 'study'}",
        )

    refused = study(3)
    assert refused.returncode == 65
    assert "has no checkpoint of step 3. Choose one of [2, 4]." in refused.stderr
    assert not (tmp_path / "study").exists()
    done = study(2)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "study" / "summary.json").read_bytes())
    assert summary["model"]["neurons"] == 64


def test_export_writes_a_checkpoint_of_the_type_asked_for(models, tmp_path):
    done = run_script(
        tmp_path / "cache",
        "train",
        f"--out={models / 'no_positions'}",
        f"--export={tmp_path / 'exported'}",
        "--export_dtype=float16",
    )
    assert done.returncode == 0, done.stderr
    weights = safetensors.numpy.load_file(tmp_path / "exported" / "model.safetensors")
    assert {str(array.dtype) for array in weights.values()} == {"float16"}
    (positions,) = (name for name in weights if "embed_positions" in name)
    assert not weights[positions].any()
