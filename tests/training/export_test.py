"""Exports: a checkpoint as a layer store and as a Hugging Face directory that gives the same logits."""

import dataclasses
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
from jaxneurons.disk import files
from jaxneurons.model import block, embed
from jaxneurons.run import beginning, settings
from jaxneurons.store import reading
from jaxneurons.text.windows import Windows
from jaxneurons.training import checkpoints, export, parameters, recipe
from jaxneurons.training import run as runs
from tests.support import cases, tiny_tokenizers

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
    "gpt2": {"activation_function": "gelu_new"},
}


def random_parameters(config, seed):
    rng = np.random.default_rng(seed)
    flat = {
        path: jnp.asarray(rng.normal(0.5, 0.2, shape), jnp.float32)
        for path, shape in parameters.shapes(config).items()
    }
    return traverse_util.unflatten_dict(flat, sep="/")


def save_run(path, config):
    """A run with checkpoints of random parameters: of steps 3, 5 and 7, the last with large ones."""
    path.mkdir()
    folder = tiny_tokenizers.save_tokenizer(path / "tokenizer")
    identity = runs.Identity(
        model=config,
        recipe=recipe.Recipe(steps=10, warmup_steps=1),
        corpus={},
        windows={},
        validation_share=0.1,
        tokenizer=files.digest(folder / "tokenizer.json"),
        versions={},
        device={},
    )
    run = runs.Run(path=path, identity=identity, machine={}, baselines={}).write()
    saved = {step: random_parameters(config, step) for step in (3, 5, 7)}
    saved[7]["layers"]["feed_forward"]["fc1"]["bias"] += 1e5
    with checkpoints.Writer(run.checkpoints, identity.digest(), keep=[3]) as writer:
        for step, params in saved.items():
            writer.save(step, {"parameters": params})
    return path


@pytest.fixture(scope="module", params=VARIANTS)
def folder(request, tmp_path_factory):
    """A run, and of its step 5 a store and a Hugging Face directory."""
    folder = tmp_path_factory.mktemp(request.param)
    config = dataclasses.replace(CONFIG, **VARIANTS[request.param])
    export.write_store(save_run(folder / "run", config), 5, folder / "store")
    huggingface.write_huggingface(reading.open_store(folder / "store"), folder / "hf")
    return folder


def our_logits(model, tokens):
    x = embed.embed(model.config, model.read_embed(), tokens)
    apply = jax.jit(block.Block(model.config).apply)
    for layer in range(model.config.num_hidden_layers):
        x, _ = apply({"params": model.read_layer(layer)}, x)
    return np.asarray(embed.logits(model.config, model.read_embed(), x))


def test_transformers_computes_the_same(folder):
    torch = pytest.importorskip("torch")
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder / "hf", output_loading_info=True, dtype=torch.float32
    )
    assert not any(report.values())
    is_gpt2 = reading.open_store(folder / "store").config.activation_function != "relu"
    assert isinstance(model, transformers.GPT2LMHeadModel) == is_gpt2
    tokens = np.random.default_rng(1).integers(4, 200, (2, 16))
    with torch.no_grad():
        theirs = model.eval()(torch.tensor(tokens)).logits.numpy()
    ours = our_logits(reading.open_store(folder / "store"), jnp.asarray(tokens))
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


def test_conversion_gives_the_store_back(folder, tmp_path):
    model = reading.open_store(folder / "store")
    opt.convert(folder / "hf", tmp_path / "again")
    again = reading.open_store(tmp_path / "again")
    assert hf_config.read_config(folder / "hf") == again.config
    if model.config.positions == "none":
        # A position table of zeros stands for none.
        assert again.config == dataclasses.replace(model.config, positions="learned")
        assert not again.read_embed()["position_embedding"].any()
    elif again.config.position_offset != model.config.position_offset:
        # GPT-2 has no rows before position 0.
        assert again.config == dataclasses.replace(model.config, position_offset=0)
    else:
        assert again.fingerprint == model.fingerprint


def test_transformers_reads_the_tokenizer_and_everybody_the_files(folder):
    loaded = transformers.AutoTokenizer.from_pretrained(folder / "hf")
    assert loaded("a </s>").input_ids == [2, *tiny_tokenizers.encode_bytes("a "), 2]
    special = (loaded.bos_token_id, loaded.eos_token_id, loaded.pad_token_id)
    assert special == (2, 2, 1)
    assert len({file.stat().st_mode for file in (folder / "hf").iterdir()}) == 1


def test_a_store_is_written_once_per_step(folder, tmp_path):
    assert export.is_training_directory(folder / "run")
    model = export.store_of_checkpoint(folder / "run", 3, tmp_path)
    manifest = pathlib.Path(model.location, "manifest.json")
    written = manifest.stat().st_mtime_ns
    again = export.store_of_checkpoint(folder / "run", 3, tmp_path)
    assert again.location == model.location
    assert manifest.stat().st_mtime_ns == written
    last = export.store_of_checkpoint(folder / "run", None, tmp_path)
    assert last.fingerprint != model.fingerprint
    # A study of it knows the step.
    text = Windows(np.full((1, 4), 2, np.int32), *np.zeros((2, 1), int), ("a",), ("",))
    identity = beginning.identify(last, "run", text, settings.resolve(last.config))
    assert identity.model.step == last.manifest["source"]["step"] == 7


@cases.each(
    "step, message",
    [(4, r"step 4. Choose one of \[3, 5, 7\]"), (7, "fc1/bias has values too large")],
)
def test_what_cannot_be_exported_leaves_nothing(folder, tmp_path, step, message):
    with pytest.raises(errors.CheckpointError, match=message):
        export.write_store(folder / "run", step, tmp_path / "store", "float16")
    assert not (tmp_path / "store").exists()


def test_what_transformers_cannot_hold_leaves_nothing(folder, tmp_path):
    model = export.store_of_checkpoint(folder / "run", 3, tmp_path)
    out = tmp_path / "model"
    with pytest.raises(
        errors.UsageError, match=r"'int8' is not supported\. Choose one"
    ):
        huggingface.write_huggingface(model, out, "int8")
    # OPT has another epsilon, and GPT-2 biases.
    odd = dataclasses.replace(model.config, layer_norm_epsilon=1e-6, enable_bias=False)
    with pytest.raises(errors.ConfigError, match="no class of transformers has"):
        huggingface.write_huggingface(dataclasses.replace(model, config=odd), out)
    large = export.store_of_checkpoint(folder / "run", 7, tmp_path)
    with pytest.raises(errors.StoreError, match="fc1.* values too large for float16"):
        huggingface.write_huggingface(large, out, "float16")
    assert not out.exists()
