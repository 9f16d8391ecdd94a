"""The sceptic's test: every variant of OPT, Galactica and GPT-2 against transformers (eager attention), converted."""

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
pytestmark = pytest.mark.usefixtures("optimized")
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

    is_gpt2 = model.config.model_type == "gpt2"
    for layer in model.transformer.h if is_gpt2 else model.model.decoder.layers:
        layer.register_forward_hook(keep(hidden_states))
        first = layer.mlp.c_fc if is_gpt2 else layer.fc1
        first.register_forward_hook(keep(preactivations))
    given = {}
    if attention_mask is not None:
        mask = torch.tensor(attention_mask).long()
        given["attention_mask"] = mask
        if is_gpt2:  # Which counts padding too if it is not told.
            given["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        logits = model(torch.tensor(tokens), **given).logits
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


@cases.each("name", VARIANTS, every_day=["pre_norm", "galactica_30b"])
def test_variant_agrees_with_transformers(name, tmp_path):
    model, stored = random_variant(name, tmp_path)
    tokens = random_tokens(model)
    assert_parity(model, stored, tokens, None, np.ones(tokens.shape, bool))


@cases.each("name", VARIANTS, every_day=["350m"])
def test_variant_agrees_where_texts_are_padded(name, tmp_path):
    assert_parity_padded_or_not(*random_variant(name, tmp_path))


def random_variant(name, tmp_path):
    variant = name if name in tiny_models.VARIANTS else "pre_norm"
    model = tiny_models.random_model(variant, **VARIANTS[name])
    return model, converted(model, tmp_path)


def assert_parity_padded_or_not(model, stored):
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


def with_buffers(directory, suffix):
    """Adds what GPT-2 saved in older releases: the mask, and what it puts in place of a score."""
    torch = pytest.importorskip("torch")
    path = directory / f"pytorch_model{suffix}"
    state = torch.load(path)
    for layer in range(3):
        mask = torch.ones(1, 1, 20, 20, dtype=torch.uint8).tril()
        state[f"transformer.h.{layer}.attn.bias"] = mask
        state[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    torch.save(state, path)


GALACTICA = {"bos_token_id": 0, "activation_function": "gelu"}
FAMILIES = (
    # GPT-2: attributes of its configuration, and how the checkpoint is written.
    (tiny_models.random_gpt2, {}, {}),
    (tiny_models.random_gpt2, {"n_head": 1, "n_inner": None}, {"head": True}),
    (tiny_models.random_gpt2, {"n_head": 6, "vocab_size": 57}, {"shards": 4}),
    (tiny_models.random_gpt2, {}, {"suffix": ".bin", "head": True}),
    (tiny_models.random_gpt2, {}, {"prefix": "", "suffix": ".bin", "shards": 3}),
    (tiny_models.random_gpt2, {"reorder_and_upcast_attn": True}, {"prefix": ""}),
    (
        tiny_models.random_gpt2,
        {"layer_norm_epsilon": 0.1, "activation_function": "relu"},
        {},
    ),
    (tiny_models.random_gpt2, {"n_positions": 300, "activation_function": "gelu"}, {}),
    # Galactica: 125m and 1.3b, then 30b.
    (tiny_models.random_model, GALACTICA, {}),
    (
        tiny_models.random_model,
        GALACTICA | {"num_attention_heads": 6},
        {"suffix": ".bin", "shards": 2, "head": True},
    ),
    (
        tiny_models.random_model,
        GALACTICA | {"enable_bias": False, "layer_norm_elementwise_affine": False},
        {"suffix": ".bin"},
    ),
    (tiny_models.random_model, GALACTICA | {"vocab_size": 53}, {"head": True}),
)


# The plain GPT-2 every day.
@cases.each("make, attributes, written", FAMILIES, every_day=FAMILIES[:1])
def test_galactica_and_gpt2_agree_with_transformers(
    make, attributes, written, tmp_path
):
    model = make(**attributes)
    directory = tiny_models.write(model, tmp_path / "hf", **written)
    if written == {"suffix": ".bin", "head": True}:
        with_buffers(directory, ".bin")
    opt.convert(directory, tmp_path / "store")
    stored = reading.open_store(tmp_path / "store")
    assert stored.manifest["source"]["family"] == model.config.model_type
    assert_parity_padded_or_not(model, stored)
