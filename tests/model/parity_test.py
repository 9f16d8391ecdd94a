"""The sceptic's test: every variant of OPT against transformers (eager attention), through the converter."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convert import opt
from jaxneurons.model import block, embed
from jaxneurons.store import reading
from tests.support import cases, tiny_models

TOLERANCE = 1e-4
VARIANTS = {name: {} for name in tiny_models.VARIANTS} | {
    # Longer than a chunk of queries, and not a multiple of it.
    "pre_norm": {},
    "long": {"max_position_embeddings": 300},
}


@functools.partial(jax.jit, static_argnames=("config", "dtype"))
def embedded(config, params, tokens, attention_mask, dtype):
    return embed.embed(config, params, tokens, attention_mask, dtype=jnp.dtype(dtype))


@functools.partial(jax.jit, static_argnames="config")
def layer_applied(config, params, x, attention_mask):
    return block.Block(config).apply({"params": params}, x, attention_mask)


logits_of = jax.jit(embed.logits, static_argnums=0)


def forward(config, params, layers, tokens, attention_mask, dtype):
    """Logits, hidden states after every layer and activations: a whole model out of our parts."""
    x = embedded(config, params, tokens, attention_mask, dtype)
    hidden_states, activations = [], []
    for layer in layers:
        x, activation = layer_applied(config, layer, x, attention_mask)
        hidden_states.append(x.astype(jnp.float32))
        activations.append(activation.astype(jnp.float32))
    logits = logits_of(config, params, x).astype(jnp.float32)
    return logits, hidden_states, activations


def ours(model, tokens, attention_mask, dtype="float32"):
    layers = [model.read_layer(i) for i in range(model.config.num_hidden_layers)]
    mask = None if attention_mask is None else jnp.asarray(attention_mask)
    found = forward(
        model.config, model.read_embed(), layers, jnp.asarray(tokens), mask, dtype
    )
    return jax.tree.map(np.asarray, found)


def theirs(model, tokens, attention_mask):
    """The same of the torch model, with pre-activations in place of activations."""
    torch = pytest.importorskip("torch")
    hidden_states, preactivations = [], []

    def keep(values):
        def hook(module, args, output):
            value = output[0] if isinstance(output, tuple) else output
            value = value.reshape(*tokens.shape, -1)
            values.append(value.detach().float().numpy())

        return hook

    for layer in model.model.decoder.layers:
        layer.register_forward_hook(keep(hidden_states))
        layer.fc1.register_forward_hook(keep(preactivations))
    mask = None if attention_mask is None else torch.tensor(attention_mask).long()
    with torch.no_grad():
        logits = model(torch.tensor(tokens), attention_mask=mask).logits
    return logits.float().numpy(), hidden_states, preactivations


def converted(model, tmp_path, **written):
    directory = tiny_models.write(model, tmp_path / "hf", **written)
    opt.convert(directory, tmp_path / "store")
    return reading.open_store(tmp_path / "store")


def random_tokens(model, texts=3, seed=0):
    rng = np.random.default_rng(seed)
    length = model.config.max_position_embeddings
    return rng.integers(4, model.config.vocab_size, (texts, length))


def padding(tokens, side):
    """bool[B, T]: texts of different lengths, padded on one side."""
    length = tokens.shape[1]
    lengths = np.array([length, length - 3, length // 2])
    right = np.arange(length)[None, :] < lengths[:, None]
    return right if side == "right" else right[:, ::-1].copy()


def assert_close(mine, wanted, where):
    error = np.abs(mine - wanted)[where].max() / np.abs(wanted[where]).max()
    assert error < TOLERANCE


def assert_parity(model, stored, tokens, attention_mask, where):
    logits, hidden_states, activations = ours(stored, tokens, attention_mask)
    expected_logits, expected_states, preactivations = theirs(
        model, tokens, attention_mask
    )
    assert_close(logits, expected_logits, where)
    assert len(hidden_states) == len(expected_states)
    for mine, wanted in zip(hidden_states, expected_states, strict=True):
        assert_close(mine, wanted, where)
    for activation, preactivation in zip(activations, preactivations, strict=True):
        clear = np.abs(preactivation) > TOLERANCE
        clear &= where[..., None]
        assert clear.mean() > 0.4
        np.testing.assert_array_equal(activation[clear] > 0, preactivation[clear] > 0)


@cases.each("name", VARIANTS)
def test_variant_agrees_with_transformers(name, tmp_path):
    variant = name if name in tiny_models.VARIANTS else "pre_norm"
    model = tiny_models.random_model(variant, **VARIANTS[name])
    stored = converted(model, tmp_path)
    tokens = random_tokens(model)
    everywhere = np.ones(tokens.shape, bool)
    assert_parity(model, stored, tokens, None, everywhere)
    # Padding on the right needs no mask: no position looks to its right.
    right = padding(tokens, "right")
    logits, *_ = ours(stored, np.where(right, tokens, 1), None)
    expected, *_ = theirs(model, np.where(right, tokens, 1), right)
    assert_close(logits, expected, right)
    left = padding(tokens, "left")
    assert_parity(model, stored, np.where(left, tokens, 1), left, left)


def test_torch_checkpoint_in_three_shards(tmp_path):
    model = tiny_models.random_model("350m")
    stored = converted(model, tmp_path, suffix=".bin", shards=3)
    tokens = random_tokens(model)
    assert_parity(model, stored, tokens, None, np.ones(tokens.shape, bool))
