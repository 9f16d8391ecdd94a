"""Top and random examples against brute force: ties, negative values, windows cut short, special tokens, several devices."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxneurons.counting import examples
from jaxneurons.counting.reductions import Batch

NAMES = ("value", "window", "position")


def random_text(seed, windows, length, neurons):
    """Activations with many ties, some of them negative as under GELU, and what counts of them."""
    rng = np.random.default_rng(seed)
    activation = rng.integers(-2, 4, (windows, length, neurons)).astype(np.float32)
    activation *= rng.random(neurons) < 0.8
    lengths = rng.integers(1, length + 1, windows)
    valid = np.arange(length) < lengths[:, None]
    special = valid & (rng.random(valid.shape) < 0.2)
    return activation, valid, special


def brute_force(activation, valid, special, number):
    """For each neuron its (value, window, position), highest value first."""
    found = []
    for neuron in range(activation.shape[2]):
        peaks = []
        for window in range(len(activation)):
            counted = valid[window] & ~special[window]
            values = [
                (float(value), -position)
                for position, value in enumerate(activation[window, :, neuron])
                if counted[position] and value > 0
            ]
            if values:
                value, position = max(values)
                peaks.append((value, window, -position))
        found.append(sorted(peaks, key=lambda peak: (-peak[0], peak[1])))
    return found


def reduce_parts(reduction, text, parts, size, before=0):
    """The arrays after windows that `parts` devices share out in batches of `size` windows each.

    The windows come after `before` others of the whole text.
    """
    activation, valid, special = text
    update = jax.jit(reduction.update)
    states = [jax.jit(reduction.init)() for _ in range(parts)]
    for first in range(0, len(activation), size):
        chosen = slice(first, first + size)
        batch = Batch(
            tokens=None,
            valid=jnp.asarray(valid[chosen]),
            special=jnp.asarray(special[chosen]),
            domain=None,
            full=None,
            first_window=jnp.int32(before + first),
        )
        part = first // size % parts
        states[part] = update(states[part], jnp.asarray(activation[chosen]), batch)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    return reduction.finalize(reduction.merge(stacked))


def rows(found, name, neuron):
    columns = [found[f"{name}_{column}"][neuron] for column in NAMES]
    return [row for row in zip(*map(np.ndarray.tolist, columns), strict=True)]


# Few shapes, since each is compiled.
@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    batches=st.integers(1, 4),
    number=st.sampled_from([1, 4]),
    parts=st.sampled_from([1, 3]),
    # Chunks of 11 positions, of 1 and of 32.
    length=st.sampled_from([33, 37, 64]),
)
def test_examples_are_those_of_brute_force(seed, batches, number, parts, length):
    text = random_text(seed, 3 * batches, length, 6)
    reduction = examples.examples(number, 6)
    found = reduce_parts(reduction, text, parts, size=3)
    for neuron, peaks in enumerate(brute_force(*text, number)):
        top = rows(found, "example", neuron)
        used = min(number, len(peaks))
        assert top[:used] == peaks[:used]
        assert all(window == position == -1 for _, window, position in top[used:])
        assert np.isnan([value for value, _, _ in top[used:]]).all()
        random = rows(found, "random_example", neuron)
        assert set(random[:used]) <= set(peaks) and len(set(random[:used])) == used
        assert all(window == -1 for _, window, _ in random[used:])


def test_random_windows_come_in_one_order_whatever_their_values():
    activation, valid, special = random_text(3, 40, 8, 5)
    activation = np.abs(activation) + 1
    valid[:], special[:] = True, False
    found = reduce_parts(
        examples.examples(6, 5), (activation, valid, special), parts=2, size=4
    )
    windows = found["random_example_window"]
    assert (windows == windows[0]).all() and len(set(windows[0].tolist())) == 6
    assert windows[0].tolist() != sorted(windows[0].tolist())


def test_passes_merge_to_what_one_pass_finds():
    text = random_text(5, 12, 8, 6)
    whole = reduce_parts(examples.examples(4, 6), text, parts=1, size=2)
    halves = [
        reduce_parts(
            examples.examples(4, 6),
            [array[first : first + 6] for array in text],
            parts=2,
            size=1,
            before=first,
        )
        for first in (0, 6)
    ]
    merged = examples.merge_passes(*halves)
    assert merged.keys() == whole.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(merged[name], array)
