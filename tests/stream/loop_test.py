"""The loop: batches that are filled up, weights that are read ahead, and one forward pass that agrees with the plain one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxneurons import devices, errors
from jaxneurons.counting import counts, reductions
from jaxneurons.model import block, embed
from jaxneurons.store import format, reading, writing
from jaxneurons.stream import hidden, loop
from jaxneurons.text import windows
from tests.support import cases, planted

MODEL = planted.MODEL
LAYERS = range(MODEL.num_hidden_layers)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A store of random weights."""
    path = tmp_path_factory.mktemp("random") / "store"
    rng = np.random.default_rng(0)
    with writing.Writer(path, MODEL) as writer:
        for name, shape in format.array_shapes(MODEL).items():
            writer.write(name, rng.normal(0, 0.3, shape).astype(np.float32))
        writer.publish({})
    return reading.open_store(path)


class Noted:
    """A layer source that notes which layers were read, and may change what is read."""

    def __init__(self, model, change=lambda layer, params: params):
        self.model, self.change = model, change
        self.config = model.config
        self.asked = []

    def read_embed(self):
        return self.model.read_embed()

    def read_layer(self, layer):
        self.asked.append(layer)
        return self.change(layer, self.model.read_layer(layer))


def make_text(count=6, length=8):
    rng = np.random.default_rng(count)
    tokens = rng.integers(4, MODEL.vocab_size, (count, length)).astype(np.int32)
    tokens[:, 0] = MODEL.document_start_token_id
    lengths = np.full(count, length, np.int32)
    lengths[-1] = length - 2
    tokens[-1, -2:] = MODEL.pad_token_id
    domains = np.sort(rng.integers(0, 2, count)).astype(np.int32)
    return windows.Windows(tokens, lengths, domains, ("a", "b"), ("", ""))


def make_batches(text, per_batch=4):
    spread = devices.spread(len(text.tokens), per_batch, 1)
    return loop.make_batches(text, MODEL, spread)


def keep_activations(text):
    """A reduction that keeps every value: float[W, T, F]."""
    count, length = text.tokens.shape

    def update(state, activation, batch):
        first = (batch.first_window, 0, 0)
        return jax.lax.dynamic_update_slice(
            state, activation.astype(jnp.float32), first
        )

    return reductions.Reduction(
        init=lambda: jnp.zeros((count + 4, length, MODEL.ffn_dim), jnp.float32),
        update=update,
        finalize=lambda state: {"activation": np.asarray(state)[:count]},
    )


def run(source, text, layers=LAYERS, on_batch=lambda index: None, **more):
    reduction = keep_activations(text)
    batches = make_batches(text)
    residual = hidden.Reporting(hidden.InMemory(), on_batch)
    results = loop.run_layers(source, batches, reduction, layers, residual, **more)
    return [result.found["activation"] for result in results]


def test_last_batch_is_filled_up_with_empty_windows():
    batches = make_batches(make_text())
    assert [batch.tokens.shape for batch in batches] == [(4, 8)] * 2
    assert [batch.first_window.tolist() for batch in batches] == [[0], [4]]
    last = batches[1]
    np.testing.assert_array_equal(last.valid.sum(axis=1), [8, 6, 0, 0])
    np.testing.assert_array_equal(last.full, [True, False, False, False])
    np.testing.assert_array_equal(last.special.sum(axis=1), [1, 1, 0, 0])


def test_a_reduction_gets_the_values_of_the_plain_forward_pass(model):
    text = make_text()
    x = embed.embed(MODEL, model.read_embed(), jnp.asarray(text.tokens))
    for layer, found in zip(LAYERS, run(model, text), strict=True):
        params = {"params": model.read_layer(layer)}
        x, activation = block.Block(MODEL).apply(params, x)
        np.testing.assert_allclose(found, activation, rtol=1e-4, atol=1e-5)


def test_next_layer_is_read_while_this_one_computes_and_none_after_the_last(model):
    source, seen = Noted(model), []
    run(
        source, make_text(), range(2), on_batch=lambda _: seen.append(max(source.asked))
    )
    # Two batches per layer; during each, at most one layer more has been asked for.
    for layer, most in zip([0, 0, 1, 1], seen, strict=True):
        assert layer <= most <= layer + 1
    assert source.asked == [0, 1]


class Watched(hidden.InMemory):
    """Hidden states that note what is asked of them, and whether what they get has been computed."""

    def __init__(self):
        super().__init__()
        self.events = []

    def take(self, layer, batch):
        self.events.append(("take", batch))
        return super().take(layer, batch)

    def put(self, layer, batch, x):
        assert x.is_ready()
        self.events.append(("put", batch))
        super().put(layer, batch, x)


@cases.each(
    "behind, order",
    [
        (0, "take 0, put 0, take 1, put 1, take 2, put 2"),
        (1, "take 0, take 1, put 0, take 2, put 1, put 2"),
        (9, "take 0, take 1, take 2, put 0, put 1, put 2"),
    ],
)
def test_a_batch_is_kept_when_it_is_done_while_the_next_is_under_way(
    model, behind, order
):
    text, residual = make_text(), Watched()
    batches = make_batches(text, per_batch=2)
    reduction = keep_activations(text)
    results = loop.run_layers(
        model, batches, reduction, LAYERS, residual, behind=behind
    )
    found = [result.found["activation"] for result in results]
    for wanted, each in zip(run(model, text), found, strict=True):
        np.testing.assert_allclose(each, wanted, rtol=1e-4, atol=1e-5)
    last = residual.events[-len(order.split(", ")) :]
    assert ", ".join(f"{what} {batch}" for what, batch in last) == order


def test_layers_may_run_in_two_calls_that_share_their_hidden_states(model):
    text = make_text()
    wanted = run(model, text)
    batches, residual = make_batches(text), hidden.InMemory()
    nothing = reductions.chain()
    for result in loop.run_layers(model, batches, nothing, range(2), residual):
        assert result.found == {}
    (result,) = loop.run_layers(
        model, batches, keep_activations(text), range(2, 3), residual
    )
    assert result.layer == 2
    np.testing.assert_array_equal(result.found["activation"], wanted[2])


def test_one_executable_serves_all_layers_and_runs(model, caplog):
    text = make_text(10)
    reduction = counts.activation_counts(2, MODEL.ffn_dim)
    with jax.log_compiles():
        for _ in range(2):
            batches = make_batches(text, per_batch=5)
            list(loop.run_layers(model, batches, reduction, LAYERS, hidden.InMemory()))
    compiled = [r.getMessage() for r in caplog.records if "Compiling" in r.getMessage()]
    assert len([line for line in compiled if "jit(step)" in line]) == 1


@pytest.mark.campaign
@cases.each("dtype", ["float16", "bfloat16"])
def test_sixteen_bits_are_computed_in_sixteen_bits(model, dtype):
    text = make_text()
    wanted, found = run(model, text), run(model, text, dtype=dtype)
    agree = [(a > 0) == (b > 0) for a, b in zip(wanted, found, strict=True)]
    assert 0.95 < np.mean(agree) and not np.array_equal(wanted, found)


def test_what_is_not_finite_is_refused_and_its_layer_named(model):
    def broken(layer, params):
        if layer == 2:
            params["feed_forward"]["fc1"]["kernel"][3, 3] = np.nan
        return params

    with pytest.raises(errors.NotFiniteError, match="layer 2 has NaN"):
        run(Noted(model, broken), make_text())
