"""What a study needs of memory, held against what it may use: where its hidden states live.

In: model, text, settings and budgets. Out: "memory", "device", "host" or "disk", whichever first
fits, and what is left to count n-grams with; or one error that says what is needed. Sizes are upper
bounds of what is held at once, beside the 0.7 GiB of Python, JAX and their libraries.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import jax

from jaxneurons import errors, processes
from jaxneurons.config import Config
from jaxneurons.counting import (
    ngram_candidates,
    ngram_coverage,
    ngram_order,
    packed_bits,
    promoted,
)
from jaxneurons.devices import Spread
from jaxneurons.model import attention, block, embed
from jaxneurons.run import host_memory
from jaxneurons.run.job import Job
from jaxneurons.run.resources import Resources
from jaxneurons.stats import activation, projections
from jaxneurons.studies.settings import Settings
from jaxneurons.text.corpus import Windows

GIB = 2**30
# Of what the machine has, or of what JAX may take of an accelerator (its own reserve is left out
# of that), where no flag says how much of it to use.
DEFAULT_SHARE = 0.8
DEVICE_SHARE = 0.95
# Batches of hidden states on their way: in, out, ahead, and waiting for the disk.
BATCHES_AT_ONCE = 8
# Bytes a token, measured: windows while they are cut; the n-grams and their slots while they are
# found, and on the device; counting n-grams for 32 neurons, the least at a time.
TEXT_BYTES = 16
NGRAM_HOST_BYTES = 110
NGRAM_DEVICE_BYTES = 16
NGRAM_WORK_BYTES = 24
# Bytes of a candidate, measured: on its way to disk; while detectors are found in a block of them.
CANDIDATE_BYTES = 80
BLOCK_BYTES = 160
# Bytes of a neuron that is a detector: its triggers and the tokens it is compared on.
DETECTOR_BYTES = 5000
# More than this does not count n-grams any faster on a CPU. On accelerators every block costs calls
# and waits, whatever its size.
MOST_NGRAM_WORK = 2**28
MOST_NGRAM_WORK_ON_DEVICE = 2**32


class Plan(NamedTuple):
    """What fits.

    Attributes:
        hidden_states: where they live between two layers: "memory" where the machine's is the
            device's, else "device" or "host"; or "disk".
        ngram_bytes: of each device's memory, for counting n-grams; None where none are counted.
    """

    hidden_states: str
    ngram_bytes: int | None


class Need(NamedTuple):
    """Bytes on each device and on the host."""

    device: int
    host: int


def make_plan(job: Job) -> Plan:
    """Fits a job, a pass over its text, into the budgets of its resources.

    Raises:
        UsageError: they do not even hold what a study with its hidden states on disk needs.
    """
    needs, spread, settings = find_needs(job), job.spread, job.settings
    device, host = budgets(job.resources)
    shared = _host_pool() == "memory"
    given = (
        {"memory": min(device, host)} if shared else {"device": device, "host": host}
    )
    free = {pool: given[pool] - _needed(pool, needs, spread) for pool in given}
    for pool, left in free.items():
        if left < 0:
            raise _does_not_fit(pool, given[pool], needs, spread)
    hidden = hidden_bytes(job)
    taken = {"memory": hidden.host, "device": hidden.device, "host": hidden.host}
    place = next((pool for pool, left in free.items() if taken[pool] <= left), "disk")
    if not settings.ngrams:
        return Plan(place, None)
    counting = "memory" if shared else "device"
    left = free[counting] - (taken[place] if place == counting else 0)
    if shared:
        left //= spread.own_devices
    most = MOST_NGRAM_WORK if shared else MOST_NGRAM_WORK_ON_DEVICE
    least = NGRAM_WORK_BYTES * job.text.tokens.size
    return Plan(place, least + min(left, max(0, most - least)))


def find_needs(job: Job) -> dict[str, Need]:
    """What is held whatever becomes of the hidden states, by what for."""
    model, windows, settings, spread = job.model, job.text, job.settings, job.spread
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
        # On the host until the devices have it, before the weights come.
        "the embedding": Need(embedding, max(0, embedding - 2 * stored * weights)),
        "a batch of windows": Need(
            step_bytes(config, settings, _host_pool() == "memory") + moving,
            spread.own_devices * moving,
        ),
        # Those of the layer before too, which are copied and written while this one computes.
        "position counts": Need(
            counts * (1 if _host_pool() == "memory" else 2), counts
        ),
        "examples": example_need(config, settings.examples, spread.mesh.size),
        "text": Need(text, text),
    }
    candidates = 0
    if settings.ngrams:
        needs["n-grams"] = _ngram_need(config, windows, spread)
        candidates = _most_candidates(config, windows)
    batch_need = needs["a batch of windows"]
    needs["the end of a layer"] = _end_need(config, counts, candidates, batch_need)
    needs["what neurons write"] = _over(
        "memory" if _host_pool() == "memory" else "device",
        _projection_bytes(config, embedding + stored * weights),
        needs,
        spread,
    )
    if settings.ngrams:
        found = _detector_bytes(config, embedding + stored * weights, candidates)
        needs["detectors"] = _over(_host_pool(), found, needs, spread)
    return needs


def _over(pool: str, size: int, needs: Mapping[str, Need], spread: Spread) -> Need:
    """What is needed beyond all that is over by then: after the last layer."""
    more = max(0, size - _needed(pool, needs, spread))
    return Need(more, 0) if pool == "device" else Need(0, more)


def hidden_bytes(job: Job) -> Need:
    """Of the residual stream of all windows: what each device would hold of it, or the host of this process."""
    config, settings, spread = job.model.config, job.settings, job.spread
    itemsize = jax.numpy.dtype(settings.dtype).itemsize
    window = settings.window * config.hidden_size * itemsize
    on_device = spread.windows_per_device * window
    return Need(on_device, spread.own_devices * on_device)


def step_bytes(config: Config, settings: Settings, on_cpu: bool) -> int:
    """What the layer's executable takes beside arguments and results; not below XLA's account."""
    tokens = settings.windows_per_batch * settings.window
    scores = 4 * 5 * min(settings.window, attention.CHUNK)
    if on_cpu:
        # A CPU multiplies 16-bit types in 32 bits.
        rows = 4 * (5 * config.hidden_size + 2 * config.ffn_dim)
    else:
        itemsize = jax.numpy.dtype(settings.dtype).itemsize
        # The values of neurons and, in bytes, which are active.
        rows = itemsize * 5 * config.hidden_size + (itemsize + 2) * config.ffn_dim
    split = 0
    if settings.precision != "highest" and settings.dtype == "float32":
        # Both sides of a product in terms, of which two of TF32 are the largest.
        split = 2 * 4 * config.ffn_dim * (tokens + config.hidden_size)
    return tokens * (rows + scores) + split


def budgets(resources: Resources) -> Need:
    """What may be used of device and host: as asked for, else a share of what is there."""
    device, host = resources.device_memory_bytes, resources.host_memory_bytes
    return Need(
        _device_budget() if device is None else device,
        int(DEFAULT_SHARE * _host_memory()) if host is None else host,
    )


def example_need(config: Config, examples: int, number_of_devices: int) -> Need:
    """Key, value, window and position of two kinds; all devices' are sorted together."""
    state = 2 * 4 * 4 * examples * config.ffn_dim
    # On the host as they come and as they are written.
    return Need((2 + 3 * number_of_devices) * state, 2 * state)


def _ngram_need(config: Config, windows: Windows, spread: Spread) -> Need:
    count, length = windows.tokens.shape
    masks = (
        4
        * most_words(config.ffn_dim, spread.mesh.size)
        * spread.windows_per_device
        * length
    )
    if spread.mesh.size > 1:
        # When devices exchange them they have what they send and what they get.
        masks *= 2
    per_token = NGRAM_DEVICE_BYTES + NGRAM_WORK_BYTES
    ahead = 0 if _host_pool() == "memory" else ngram_candidates.BYTES_AHEAD
    host = NGRAM_HOST_BYTES * count * length + ahead
    return Need(masks + per_token * count * length, host)


def most_words(neurons: int, number_of_devices: int) -> int:
    """Words of a mask, whatever the budget for counting cuts them into: equal blocks have a few more words."""
    return max(
        ngram_order.cut_neurons(neurons, 1, widest, number_of_devices).words
        for widest in range(1, packed_bits.word_count(neurons) + 1)
    )


def _most_candidates(config: Config, windows: Windows) -> int:
    """Candidates for detectors that are held at a time."""
    return min(ngram_coverage.CANDIDATES_AT_ONCE, config.ffn_dim * windows.tokens.size)


def _end_need(config: Config, counts: int, candidates: int, batch: Need) -> Need:
    """What the end of a layer takes more than its batches, which are over by then.

    Position counts of all devices are added beside each one's own, and are on the host as they come
    and as they are written; bounds are of a block of neurons in float64, three times.
    """
    neurons = min(activation.NEURONS_PER_BLOCK, config.ffn_dim)
    bounds = 3 * 8 * neurons * config.hidden_size
    host = 2 * counts + bounds + CANDIDATE_BYTES * candidates
    return Need(max(0, counts - batch.device), max(0, host - batch.host))


def _detector_bytes(config: Config, stored: int, candidates: int) -> int:
    """What finding detectors takes at the end; stored: the embedding and a layer."""
    in_float64 = projections.VOCABULARY_BLOCK * config.word_embed_proj_dim
    in_float64 += projections.NEURON_BLOCK * config.vocab_size
    found = BLOCK_BYTES * candidates + DETECTOR_BYTES * config.ffn_dim
    return stored + 2 * 8 * in_float64 + found


def _projection_bytes(config: Config, stored: int) -> int:
    """What finding promoted tokens takes at the end; stored: the embedding and a layer."""
    width = config.word_embed_proj_dim
    outputs = config.ffn_dim * (config.hidden_size + width)
    # A block's projections are there with both signs and in chunks.
    block = 4 * promoted.NEURONS_PER_BLOCK * config.vocab_size
    return 2 * stored + 4 * (config.vocab_size * width + outputs + block)


def _host_pool() -> str:
    """The memory that the host's is part of: that of the device too where there is no other."""
    return "memory" if jax.default_backend() == "cpu" else "host"


def _needed(pool: str, needs: Mapping[str, Need], spread: Spread) -> int:
    return sum(_of_pool(pool, need, spread) for need in needs.values())


def _of_pool(pool: str, need: Need, spread: Spread) -> int:
    """Of one memory; of the only one there is, what all devices of this process and the host need."""
    if pool == "memory":
        return spread.own_devices * need.device + need.host
    return getattr(need, pool)


def _does_not_fit(
    pool: str, given: int, needs: Mapping[str, Need], spread: Spread
) -> errors.UsageError:
    name = {"memory": "memory", "device": "device memory", "host": "host memory"}[pool]
    parts = ", ".join(
        f"{part} {_of_pool(pool, need, spread) / GIB:.3f}"
        for part, need in needs.items()
    )
    return errors.UsageError(
        f"{name}: {given / GIB:.3f} GiB may be used, {_needed(pool, needs, spread) / GIB:.3f} are needed even "
        f"with hidden states on disk ({parts}). Allow more, or use less text, a shorter window, fewer windows "
        "per batch or no n-grams."
    )


def _elements(shapes: Mapping[str, tuple[int, ...]]) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def _device_budget() -> int:
    """Bytes that may be used of an accelerator where nobody says how many; of a CPU, of the machine."""
    if _host_pool() == "memory":
        return int(DEFAULT_SHARE * _host_memory())
    device = jax.local_devices()[0]
    statistics = device.memory_stats() or {}
    if "bytes_limit" not in statistics:
        raise errors.UsageError(
            f"{device.device_kind} does not say how much memory it has. Say how much of it may be used, or "
            "unset XLA_PYTHON_CLIENT_ALLOCATOR.",
            remedy={"device_memory_gb": "GIB"},
        )
    return int(DEVICE_SHARE * statistics["bytes_limit"])


def _host_memory() -> int:
    """Bytes that this process may have, an equal share where others of the run are on the machine."""
    return host_memory.available() // processes.on_this_machine()
