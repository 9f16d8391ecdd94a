"""What a study needs of memory, held against what it may use: where its hidden states live.

In: model, text, settings and budgets. Out: "memory", "device", "host" or "disk", whichever first fits, and
what is left to count n-grams with; or one error that says what is needed. Sizes are upper bounds of
what is held at once, beside the 0.7 GiB of Python, JAX and their libraries.
"""

import math
import os
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import jax

from jaxneurons import attention, block, embed, errors, packed_bits
from jaxneurons.config import OPTConfig
from jaxneurons.corpus import Windows
from jaxneurons.settings import Resources, Settings
from jaxneurons.stats import activation, projections
from jaxneurons.store import Store

GIB = 2**30
CONTAINER_LIMITS = (
    pathlib.Path("/sys/fs/cgroup/memory.max"),
    pathlib.Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
# Of what the machine or the device has, where no flag says how much of it to use.
DEFAULT_SHARE = 0.8
# Batches of hidden states on their way: in, out, ahead, and waiting for the disk.
BATCHES_AT_ONCE = 8
# Bytes a token, measured: windows while they are cut; the n-grams and their slots while they are
# found, and on the device; counting n-grams for 32 neurons, the least at a time.
TEXT_BYTES = 16
NGRAM_HOST_BYTES = 110
NGRAM_DEVICE_BYTES = 16
NGRAM_WORK_BYTES = 24
# More than this does not count n-grams any faster.
MOST_NGRAM_WORK = 2**28


class Plan(NamedTuple):
    """What fits.

    Attributes:
        hidden_states: where they live between two layers: "memory" where the machine's is the
            device's, else "device" or "host"; or "disk".
        ngram_bytes: of device memory, for counting n-grams.
    """

    hidden_states: str
    ngram_bytes: int


class Need(NamedTuple):
    """Bytes on the device and on the host."""

    device: int
    host: int


def make_plan(
    model: Store, windows: Windows, settings: Settings, resources: Resources
) -> Plan:
    """Fits a pass over `windows` into the budgets.

    Raises:
        UsageError: they do not even hold what a study with its hidden states on disk needs.
    """
    needs = find_needs(model, windows, settings)
    shared = jax.default_backend() == "cpu"
    device, host = budgets(resources)
    if shared:
        free = {"memory": min(device, host) - _needed("memory", needs)}
    else:
        free = {
            "device": device - _needed("device", needs),
            "host": host - _needed("host", needs),
        }
    for pool, left in free.items():
        if left < 0:
            raise _does_not_fit(pool, needs, left)
    hidden = hidden_bytes(model.config, windows, settings)
    place = next((pool for pool, left in free.items() if hidden <= left), "disk")
    counting = "memory" if shared else "device"
    left = free[counting] - (hidden if place == counting else 0)
    least = NGRAM_WORK_BYTES * windows.tokens.size
    return Plan(place, least + min(left, max(0, MOST_NGRAM_WORK - least)))


def find_needs(model: Store, windows: Windows, settings: Settings) -> dict[str, Need]:
    """What is held whatever becomes of the hidden states, by what for."""
    config = model.config
    stored = jax.numpy.dtype(model.dtype).itemsize
    computed = jax.numpy.dtype(settings.dtype).itemsize
    weights = _elements(block.parameter_shapes(config))
    embedding = stored * _elements(embed.parameter_shapes(config))
    batch = settings.windows_per_batch * settings.window
    moving = BATCHES_AT_ONCE * computed * batch * config.hidden_size
    counts = 4 * len(windows.names) * settings.window * config.ffn_dim
    text = TEXT_BYTES * windows.tokens.size
    needs = {
        # On the device two layers to compute with and one as stored, on the host two as stored.
        "two layers' weights": Need(
            (2 * computed + stored) * weights, 2 * stored * weights
        ),
        "the embedding": Need(embedding, embedding),
        "a batch of windows": Need(step_bytes(config, settings) + moving, moving),
        # On the host as they come, as they are stored and as they are written.
        "position counts": Need(counts, 2 * counts),
        "certified bounds": Need(0, _bounds_bytes(config)),
        "text": Need(text, text),
    }
    if settings.ngrams:
        needs["n-grams"] = _ngram_need(config, windows, settings)
        needs["token suppression"] = _suppression_need(config, embedding, needs)
    return needs


def hidden_bytes(config: OPTConfig, windows: Windows, settings: Settings) -> int:
    """Of the residual stream of all windows, filled up to whole batches."""
    itemsize = jax.numpy.dtype(settings.dtype).itemsize
    return _padded_tokens(windows, settings) * config.hidden_size * itemsize


def step_bytes(config: OPTConfig, settings: Settings) -> int:
    """What the layer's executable takes beside arguments and results; at least XLA's own account."""
    tokens = settings.windows_per_batch * settings.window
    scores = min(settings.window, attention.CHUNK)
    return 4 * tokens * (5 * config.hidden_size + 2 * config.ffn_dim + 5 * scores)


def budgets(resources: Resources) -> Need:
    """What may be used of the device and of the host: as asked for, else a share of what there is."""
    device, host = resources.device_memory_bytes, resources.host_memory_bytes
    return Need(
        int(DEFAULT_SHARE * _device_memory()) if device is None else device,
        int(DEFAULT_SHARE * _host_memory()) if host is None else host,
    )


def _ngram_need(config: OPTConfig, windows: Windows, settings: Settings) -> Need:
    tokens = windows.tokens.size
    words = packed_bits.word_count(config.ffn_dim)
    masks = 4 * words * _padded_tokens(windows, settings)
    on_device = masks + (NGRAM_DEVICE_BYTES + NGRAM_WORK_BYTES) * tokens
    return Need(on_device, NGRAM_HOST_BYTES * tokens)


def _bounds_bytes(config: OPTConfig) -> int:
    """Of a block of neurons in float64, three times."""
    neurons = min(activation.NEURONS_PER_BLOCK, config.ffn_dim)
    return 3 * 8 * neurons * config.hidden_size


def _suppression_need(
    config: OPTConfig, embedding: int, others: Mapping[str, Need]
) -> Need:
    """What the projections on the vocabulary take more than what is over by then."""
    in_float64 = projections.VOCABULARY_BLOCK * config.word_embed_proj_dim
    in_float64 += projections.NEURON_BLOCK * config.vocab_size
    over = sum(need.host for need in others.values())
    return Need(0, max(0, embedding + 2 * 8 * in_float64 - over))


def _needed(pool: str, needs: Mapping[str, Need]) -> int:
    return sum(_of_pool(pool, need) for need in needs.values())


def _of_pool(pool: str, need: Need) -> int:
    """Of one memory; of the only one there is, what device and host need."""
    return sum(need) if pool == "memory" else getattr(need, pool)


def _does_not_fit(pool: str, needs: Mapping[str, Need], left: int) -> errors.UsageError:
    needed = _needed(pool, needs)
    flags = {"memory": "--device_memory_gb and --host_memory_gb"}
    parts = ", ".join(
        f"{name} {_of_pool(pool, need) / GIB:.3f}" for name, need in needs.items()
    )
    return errors.UsageError(
        f"{flags.get(pool, f'--{pool}_memory_gb')}: {(needed + left) / GIB:.3f} GiB given, "
        f"{needed / GIB:.3f} needed even with hidden states on disk ({parts}); less text, "
        "--nongrams, --window or --windows_per_batch need less"
    )


def _elements(shapes: Mapping[str, tuple[int, ...]]) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def _padded_tokens(windows: Windows, settings: Settings) -> int:
    """Tokens of all batches, the windows that fill the last one up among them."""
    batches = math.ceil(len(windows.tokens) / settings.windows_per_batch)
    return batches * settings.windows_per_batch * settings.window


def _device_memory() -> int:
    """Bytes that JAX may take of the device; of a CPU, those of the machine."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    return statistics.get("bytes_limit", _host_memory())


def _host_memory() -> int:
    """Bytes of the machine, or what a container may have of them."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [
        int(text)
        for path in CONTAINER_LIMITS
        if path.is_file() and (text := path.read_text().strip()).isdecimal()
    ]
    return min([physical, *limits])
