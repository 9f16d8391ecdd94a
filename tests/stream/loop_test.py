"""The loop: batches that are filled up, weights that are read ahead, and one forward pass that agrees with the plain one."""

import threading
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxneurons import devices, errors
from jaxneurons.counting import reductions
from jaxneurons.model import block, embed
from jaxneurons.store import format, reading, writing
from jaxneurons.stream import hidden, loop, step
from jaxneurons.text import corpus
from tests.support import planted

MODEL = planted.MODEL


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


def make_windows(count, length):
    rng = np.random.default_rng(count)
    tokens = rng.integers(4, MODEL.vocab_size, (count, length)).astype(np.int32)
    tokens[:, 0] = MODEL.bos_token_id
    lengths = np.full(count, length, np.int32)
    lengths[-1] = length - 2
    tokens[-1, -2:] = MODEL.pad_token_id
    domains = np.sort(rng.integers(0, 2, count)).astype(np.int32)
    return corpus.Windows(tokens, lengths, domains, ("a", "b"), ("", ""))


def collect_masks(windows):
    """A reduction that keeps every mask: bool[W, T, F], as a researcher would add one."""
    count, length = windows.tokens.shape

    def update(state, active, batch):
        return jax.lax.dynamic_update_slice_in_dim(
            state, active, batch.first_window, axis=0
        )

    return reductions.Reduction(
        init=lambda: jnp.zeros((count + 4, length, MODEL.ffn_dim), bool),
        update=update,
        finalize=lambda state: {"masks": np.asarray(state)[:count]},
    )


def run(model, windows, tmp_path, layers=range(3), on_batch=lambda index: None):
    batches = loop.make_batches(
        windows, MODEL, devices.spread(len(windows.tokens), 4, 1)
    )
    shape = (4, windows.tokens.shape[1], MODEL.hidden_size)
    reduction = collect_masks(windows)
    with hidden.Checkpoint(tmp_path, shape, np.dtype(np.float32), 0) as checkpoint:
        residual = hidden.InMemory(checkpoint)
        results = loop.run_layers(
            model, batches, reduction, "float32", layers, residual, on_batch
        )
        return [reduction.finalize(result.state)["masks"] for result in results]


def test_last_batch_is_filled_up_with_empty_windows():
    windows = make_windows(6, 8)
    batches = loop.make_batches(windows, MODEL, devices.spread(6, 4, 1))
    assert [batch.tokens.shape for batch in batches] == [(4, 8)] * 2
    assert [batch.first_window.tolist() for batch in batches] == [[0], [4]]
    last = batches[1]
    np.testing.assert_array_equal(last.valid.sum(axis=1), [8, 6, 0, 0])
    np.testing.assert_array_equal(last.full, [True, False, False, False])
    np.testing.assert_array_equal(last.special.sum(axis=1), [1, 1, 0, 0])
    assert (last.tokens[2:] == MODEL.pad_token_id).all()


def test_masks_are_those_of_the_plain_forward_pass(model, tmp_path):
    windows = make_windows(6, 8)
    found = run(model, windows, tmp_path)
    x = embed.embed(MODEL, model.read_embed(), jnp.asarray(windows.tokens))
    for layer, masks in enumerate(found):
        params = {"params": model.read_layer(layer)}
        x, activation = block.Block(MODEL).apply(params, x)
        clear = np.abs(np.asarray(activation)) > 1e-5
        np.testing.assert_array_equal(masks[clear], np.asarray(activation)[clear] > 0)
        assert (masks == np.asarray(activation > 0)).mean() > 0.999


def test_next_layer_is_read_while_this_one_computes(model, tmp_path, monkeypatch):
    asked, seen = [], []
    read_layer = reading.Store.read_layer

    def noted(self, layer):
        asked.append(layer)
        return read_layer(self, layer)

    monkeypatch.setattr(reading.Store, "read_layer", noted)
    run(model, make_windows(6, 8), tmp_path, on_batch=lambda _: seen.append(max(asked)))
    # Two batches a layer; during each, at most one layer more has been asked for.
    for layer, most in zip([0, 0, 1, 1, 2, 2], seen, strict=True):
        assert layer <= most <= layer + 1
    assert asked == [0, 1, 2]


def test_layers_after_the_last_are_not_read(model, tmp_path, monkeypatch):
    asked = []
    read_layer = reading.Store.read_layer
    monkeypatch.setattr(
        reading.Store,
        "read_layer",
        lambda self, layer: asked.append(layer) or read_layer(self, layer),
    )
    run(model, make_windows(2, 8), tmp_path, layers=range(2))
    assert asked == [0, 1]


def test_two_layers_weights_are_held_and_no_more(model, tmp_path, monkeypatch):
    read_layer, cast_parameters = reading.Store.read_layer, loop.cast_parameters
    held, most, threads = [], [], set()

    def note(tree):
        leaf = tree["feed_forward"]["fc1"]["kernel"]
        held.append(weakref.ref(leaf))
        most.append(sum(reference() is not None for reference in held))
        return tree

    def cast_noted(params, dtype):
        threads.add(threading.current_thread().name.partition("_")[0])
        return note(cast_parameters(params, dtype))

    monkeypatch.setattr(reading.Store, "read_layer", lambda *a: note(read_layer(*a)))
    monkeypatch.setattr(loop, "cast_parameters", cast_noted)
    windows = make_windows(6, 8)
    batches = loop.make_batches(
        windows, MODEL, devices.spread(len(windows.tokens), 4, 1)
    )
    for result in loop.run_layers(
        model, batches, collect_masks(windows), "float32", range(3), hidden.InMemory()
    ):
        del result
    # As stored and as computed with, of two layers each.
    assert len(held) == 6 and max(most) <= 4
    assert threads == {"load-ahead"}


@pytest.mark.parametrize("least_saved", [0, 1e20])
def test_the_last_layer_may_end_at_its_neurons(
    model, tmp_path, monkeypatch, least_saved
):
    windows = make_windows(6, 8)
    wanted = run(model, windows, tmp_path)
    monkeypatch.setattr(step, "LEAST_SAVED", least_saved)
    goes_on, compile_step = [], step.compile_step
    monkeypatch.setattr(
        step,
        "compile_step",
        lambda *a: goes_on.append(a[-1]) or compile_step(*a),
    )
    np.testing.assert_array_equal(run(model, windows, tmp_path), wanted)
    assert goes_on == ([True, False] if least_saved == 0 else [True])


def test_a_last_step_has_no_second_product(model):
    batch = loop.make_batches(make_windows(4, 8), MODEL, devices.spread(4, 4, 1))[0]
    reduction = reductions.activation_counts(2, MODEL.ffn_dim)
    params = model.read_layer(0)
    x = jax.device_put(
        np.zeros((4, 8, MODEL.hidden_size), np.float32), batch.tokens.sharding
    )
    whole, last = (
        step.compile_step(MODEL, reduction, params, x, batch, goes_on)
        for goes_on in (True, False)
    )
    saved = whole.cost_analysis()["flops"] - last.cost_analysis()["flops"]
    product = 2 * 4 * 8 * MODEL.hidden_size * MODEL.ffn_dim
    assert product <= saved < 2 * product


@pytest.mark.parametrize("least_saved", [0, 1e20])
def test_layers_below_the_first_counted_need_not_count(model, monkeypatch, least_saved):
    windows = make_windows(6, 8)
    batches = loop.make_batches(windows, MODEL, devices.spread(6, 4, 1))
    counts = reductions.activation_counts(2, MODEL.ffn_dim)

    def states(**chosen):
        steps = {}
        results = loop.run_layers(
            model,
            batches,
            counts,
            "float32",
            range(3),
            hidden.InMemory(),
            steps=steps,
            **chosen,
        )
        return [jax.device_get(result.state) for result in results], steps

    wanted, _ = states()
    monkeypatch.setattr(step, "LEAST_SAVED", least_saved)
    found, steps = states(first_counted=2)
    np.testing.assert_array_equal(found[2], wanted[2])
    if least_saved:
        assert list(steps) == [step.Kind()]
    else:
        assert found[:2] == [(), ()]
        assert list(steps) == [
            step.Kind(counts=False),
            step.Kind(goes_on=False),
        ]


def test_kinds_do_not_depend_on_how_batches_are_filled_up(monkeypatch):
    """Or rounding would depend on the number of devices."""
    windows = make_windows(5, 8)
    tokens = int(windows.lengths.sum())
    product = 2 * tokens * MODEL.hidden_size * MODEL.ffn_dim
    for least, skips in ((product, True), (product + 1, False)):
        monkeypatch.setattr(step, "LEAST_SAVED", least)
        for part in (1, 2, 4):
            batches = loop.make_batches(windows, MODEL, devices.spread(5, part, 1))
            kinds = step.kinds(MODEL, batches, 0, 2)
            assert [kind.goes_on for kind in kinds] == [True, True, not skips]


@pytest.mark.parametrize(("name", "found"), [("fc1", True), ("fc2", False)])
def test_a_last_layer_still_refuses_what_is_not_finite(
    model, tmp_path, monkeypatch, name, found
):
    read_layer = reading.Store.read_layer

    def broken(self, layer):
        params = read_layer(self, layer)
        if layer == 2:
            params["feed_forward"][name]["kernel"][3, 3] = np.nan
        return params

    monkeypatch.setattr(reading.Store, "read_layer", broken)
    monkeypatch.setattr(step, "LEAST_SAVED", 0)
    if found:
        with pytest.raises(errors.NotFiniteError, match="layer 2"):
            run(model, make_windows(6, 8), tmp_path)
    else:
        # Nothing reads it, and no count depends on it.
        run(model, make_windows(6, 8), tmp_path)
