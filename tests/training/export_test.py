"""Exports: a checkpoint as a layer store and as a Hugging Face directory that gives the same logits."""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import transformers
from flax import traverse_util

from convert import export as huggingface
from convert import hf_config, opt
from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.model import block, embed
from jaxneurons.store import reading
from jaxneurons.training import checkpoints, export, parameters, recipe
from jaxneurons.training import run as runs
from tests.support import tiny_tokenizers

CONFIG = Config(
    vocab_size=tiny_tokenizers.SIZE,
    hidden_size=24,
    ffn_dim=40,
    num_hidden_layers=3,
    num_attention_heads=2,
    max_position_embeddings=16,
)
VARIANTS = {
    "no_positions": {"positions": "none"},
    "350m": {"do_layer_norm_before": False, "word_embed_proj_dim": 10},
}
RECIPE = recipe.Recipe(steps=10, warmup_steps=1)


def random_parameters(config, rng):
    flat = {
        path: jnp.asarray(rng.normal(0.5, 0.2, shape), jnp.float32)
        for path, shape in parameters.shapes(config).items()
    }
    return traverse_util.unflatten_dict(flat, sep="/")


def save_run(path, **variant):
    """A run with a checkpoint at steps 3 and 5, whose every parameter is random."""
    config = dataclasses.replace(CONFIG, **variant)
    tiny_tokenizers.save_tokenizer(path.parent / "tokenizer")
    path.mkdir()
    (path.parent / "tokenizer").rename(path / "tokenizer")
    identity = runs.Identity(
        model=config,
        recipe=RECIPE,
        corpus={},
        windows={},
        validation_share=0.1,
        tokenizer="",
        versions={},
        device={},
    )
    run = runs.Run(path=path, identity=identity, baselines={}).write()
    rng = np.random.default_rng(0)
    with checkpoints.Writer(run.checkpoints, identity.digest()) as writer:
        for number in (3, 5):
            writer.save(number, {"parameters": random_parameters(config, rng)})
    return path


def our_logits(model, tokens):
    x = embed.embed(model.config, model.read_embed(), tokens)
    apply = jax.jit(block.Block(model.config).apply)
    for layer in range(model.config.num_hidden_layers):
        x, _ = apply({"params": model.read_layer(layer)}, x)
    return np.asarray(embed.logits(model.config, model.read_embed(), x))


def their_logits(directory, tokens):
    torch = pytest.importorskip("torch")
    model, report = transformers.OPTForCausalLM.from_pretrained(
        directory, output_loading_info=True, dtype=torch.float32
    )
    assert not any(report.values())
    with torch.no_grad():
        return model.eval()(torch.tensor(np.asarray(tokens))).logits.numpy()


@pytest.mark.parametrize("variant", VARIANTS)
def test_transformers_computes_the_same(variant, tmp_path):
    run = save_run(tmp_path / "run", **VARIANTS[variant])
    export.write_store(run, 5, tmp_path / "store")
    model = reading.open_store(tmp_path / "store")
    huggingface.write_huggingface(model, tmp_path / "hf")
    tokens = jnp.asarray(np.random.default_rng(1).integers(4, 200, (2, 16)))
    ours, theirs = our_logits(model, tokens), their_logits(tmp_path / "hf", tokens)
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


def test_a_position_table_of_zeros_stands_for_none(tmp_path):
    run = save_run(tmp_path / "run", positions="none")
    export.write_store(run, 5, tmp_path / "store")
    model = reading.open_store(tmp_path / "store")
    assert model.config.positions == "none"
    huggingface.write_huggingface(model, tmp_path / "hf", "float16")
    opt.convert(tmp_path / "hf", tmp_path / "again")
    again = reading.open_store(tmp_path / "again")
    assert again.config == dataclasses.replace(model.config, positions="learned")
    assert not again.read_embed()["position_embedding"].any()
    assert again.dtype == "float16"


def test_export_and_conversion_give_the_store_back(tmp_path):
    run = save_run(tmp_path / "run", word_embed_proj_dim=10)
    export.write_store(run, 5, tmp_path / "store")
    model = reading.open_store(tmp_path / "store")
    huggingface.write_huggingface(model, tmp_path / "hf")
    assert hf_config.read_config(tmp_path / "hf") == model.config
    assert len({file.stat().st_mode for file in (tmp_path / "hf").iterdir()}) == 1
    opt.convert(tmp_path / "hf", tmp_path / "again")
    assert reading.open_store(tmp_path / "again").fingerprint == model.fingerprint
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert loaded("a </s>").input_ids == [2, *tiny_tokenizers.encode_bytes("a "), 2]
    special = (loaded.bos_token_id, loaded.eos_token_id, loaded.pad_token_id)
    assert special == (2, 2, 1)


def test_store_of_checkpoint_is_written_once(tmp_path):
    run = save_run(tmp_path / "run")
    assert export.is_training_directory(run)
    model = export.store_of_checkpoint(run, 3, tmp_path / "cache")
    manifest = pathlib.Path(model.location, "manifest.json")
    written = manifest.stat().st_mtime_ns
    again = export.store_of_checkpoint(run, 3, tmp_path / "cache")
    assert again.location == model.location
    assert manifest.stat().st_mtime_ns == written
    last = export.store_of_checkpoint(run, None, tmp_path / "cache")
    assert last.manifest["source"]["step"] == 5
    assert last.fingerprint != model.fingerprint


def test_a_step_without_checkpoint_is_refused(tmp_path):
    run = save_run(tmp_path / "run")
    with pytest.raises(errors.CheckpointError, match=r"step 4. Choose one of \[3, 5\]"):
        export.write_store(run, 4, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_values_too_large_for_the_type_are_refused(tmp_path):
    run = save_run(tmp_path / "run")
    opened = runs.open_run(run)
    params = random_parameters(CONFIG, np.random.default_rng(0))
    params["layers"]["feed_forward"]["fc1"]["bias"] += 1e5
    with checkpoints.Writer(opened.checkpoints, opened.identity.digest()) as writer:
        writer.save(7, {"parameters": params})
    with pytest.raises(errors.CheckpointError, match="fc1/bias has values too large"):
        export.write_store(run, 7, tmp_path / "store", "float16")


def test_config_has_what_transformers_reads(tmp_path):
    attributes = huggingface.config_attributes(CONFIG, "float16")
    (tmp_path / "config.json").write_text(json.dumps(attributes))
    assert hf_config.read_config(tmp_path) == CONFIG
