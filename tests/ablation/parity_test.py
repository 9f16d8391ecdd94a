"""Neurons taken out of every variant, against torch hooks that set the same neurons in transformers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxneurons
from convert import opt
from jaxneurons.ablation import edits
from jaxneurons.command.progress import Progress
from jaxneurons.model import block
from jaxneurons.run.models import Model
from jaxneurons.store import reading
from jaxneurons.text.windows import Windows
from tests.support import cases, tiny_models

pytestmark = pytest.mark.usefixtures("optimized")
VARIANTS = [
    *((tiny_models.random_model, name) for name in tiny_models.VARIANTS),
    (tiny_models.random_gpt2, None),
]


def make_windows(config, count=5):
    """Windows as a study has them, with a separator inside, two domains, and a last one that is short."""
    rng = np.random.default_rng(0)
    length = config.max_position_embeddings
    tokens = rng.integers(4, config.vocab_size, (count, length)).astype(np.int32)
    if config.document_start_token_id is not None:
        tokens[:, 0] = tokens[1, 7] = config.document_start_token_id
    lengths = np.full(count, length, np.int32)
    lengths[-1] = length // 2
    domains = np.array([0, 0, 1, 1, 1], np.int32)
    return Windows(tokens, lengths, domains, ("a", "b"), ("", ""))


def chosen_neurons(config):
    """About a third of each layer but the first of several."""
    rng = np.random.default_rng(1)
    layers = range(config.num_hidden_layers > 1, config.num_hidden_layers)
    number = config.ffn_dim // 3
    drawn = [rng.permutation(config.ffn_dim)[:number].tolist() for _ in layers]
    return [
        (layer, n) for layer, found in zip(layers, drawn, strict=True) for n in found
    ]


class Theirs:
    """A torch model in which the values of neurons can be set before they are written."""

    def __init__(self, model):
        self.torch = pytest.importorskip("torch")
        self.model = model
        is_gpt2 = model.config.model_type == "gpt2"
        blocks = model.transformer.h if is_gpt2 else model.model.decoder.layers
        self.activations = [None] * len(blocks)
        self.values = {}
        for index, layer in enumerate(blocks):
            second = layer.mlp.c_proj if is_gpt2 else layer.fc2
            second.register_forward_pre_hook(self._hook(index))

    def _hook(self, layer):
        def hook(module, args):
            activation = args[0].clone()
            self.activations[layer] = args[0].detach().double().numpy()
            for (where, neuron), value in self.values.items():
                if where == layer:
                    activation[..., neuron] = value
            return (activation,)

        return hook

    def logits(self, tokens, values):
        self.values = values
        with self.torch.no_grad():
            found = self.model(self.torch.tensor(tokens).long()).logits
        return found.double().numpy()

    def means(self, neurons, valid):
        """The mean of each neuron where the last call had valid tokens."""
        by_layer = [
            each.reshape(*valid.shape, -1)[valid].mean(0) for each in self.activations
        ]
        return {(layer, n): float(by_layer[layer][n]) for layer, n in neurons}


def mean_losses(logits, text, special):
    """Cross-entropy of tokens that are text, by domain and overall."""
    shifted = logits - logits.max(-1, keepdims=True)
    total = np.log(np.exp(shifted).sum(-1))
    following = np.roll(text.tokens, -1, axis=1)[..., None]
    loss = (total - np.take_along_axis(shifted, following, -1)[..., 0])[:, :-1]
    valid = np.arange(text.tokens.shape[1]) < text.lengths[:, None]
    counted = (valid & ~np.isin(text.tokens, special))[:, 1:]
    by_domain = {
        name: loss[text.domains == index][counted[text.domains == index]].mean()
        for index, name in enumerate(text.names)
    }
    return by_domain | {"overall": loss[counted].mean()}


@functools.partial(jax.jit, static_argnums=0)
def layer_applied(config, params, x):
    return block.Block(config).apply({"params": params}, x)[0]


def our_logits(model, tokens, edit):
    x = model.embed(tokens)
    for layer in range(model.config.num_hidden_layers):
        x = layer_applied(model.config, edit(layer, model.layer(layer)), x)
    return np.asarray(model.logits(x))


FEW = [each for each in VARIANTS if each[1] == "350m"]


@cases.each("make, variant", VARIANTS, every_day=FEW)
def test_losses_and_logits_are_those_of_torch_hooks(make, variant, tmp_path):
    theirs = Theirs(make(variant) if variant else make())
    tiny_models.write(theirs.model, tmp_path / "hf")
    opt.convert(tmp_path / "hf", tmp_path / "store")
    model = Model("tiny", reading.open_store(tmp_path / "store"))
    config, text = model.config, make_windows(model.config)
    valid = np.arange(text.tokens.shape[1]) < text.lengths[:, None]
    neurons = chosen_neurons(config)
    base = theirs.logits(text.tokens, {})
    means = theirs.means(neurons, valid)
    modes = {"zero": dict.fromkeys(neurons, 0.0)}
    if config.enable_bias:
        modes["mean"] = means
    for mode, values in modes.items():
        logits = theirs.logits(text.tokens, values)
        found = jaxneurons.ablate(
            model,
            text,
            neurons,
            mode=mode,
            controls=0,
            windows_per_batch=2,
            progress=Progress(shown=False),
        )
        for ours, wanted in ((found.base, base), (found.ablated, logits)):
            expected = mean_losses(wanted, text, config.special_tokens)
            assert ours == pytest.approx(expected, rel=1e-5)
        assert abs(found.difference["overall"]) > 1e-3
        by_layer = {
            layer: np.array(
                [means.get((layer, n), np.nan) for n in range(config.ffn_dim)],
                np.float32,
            )
            for layer in range(config.num_hidden_layers)
        }
        edit = edits.ablating(np.array(neurons), by_layer if mode == "mean" else None)
        mine = our_logits(model, jnp.asarray(text.tokens), edit)
        np.testing.assert_allclose(
            mine[valid], logits[valid], atol=1e-4 * abs(logits[valid]).max()
        )
