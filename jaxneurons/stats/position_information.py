"""How much mutual information of firing and position chance explains (paper §5.1, Appendix B.1).

In: a number of windows, or a neuron's frequency. Out: what chance adds to the information on average, in nats, and
draws of what chance alone would give. The information itself is `counting.statistics.positional_information`.
"""

import functools
from typing import NamedTuple

import numpy as np

# Neurons share null draws by frequency, rounded to this many steps; what chance adds
# hardly depends on the frequency, and the number of draws stays bounded.
FREQUENCY_STEPS = 256


class Null(NamedTuple):
    """How many times to draw a neuron that knows nothing of position, and from what seed."""

    draws: int
    seed: int = 0


def information_bias(windows: int) -> float:
    """Says what chance adds to the mutual information, to first order: 1 / (2·windows)."""
    return 1 / (2 * windows) if windows else np.nan


def null_information(
    frequency: float, windows: int, positions: int, null: Null
) -> np.ndarray:
    """Draws the mutual information of a neuron that fires alike at every position.

    The frequency is rounded to one of 256 steps, so a value depends on nothing but its
    arguments. Memory: 24 bytes a position and draw.

    Returns:
        float64[draws], nats, sorted.
    """
    step = round(frequency * FREQUENCY_STEPS)
    step = min(max(step, 1), FREQUENCY_STEPS - 1)
    return _null_of_step(step, windows, positions, null)


@functools.lru_cache(maxsize=FREQUENCY_STEPS)
def _null_of_step(step: int, windows: int, positions: int, null: Null) -> np.ndarray:
    # Here, since it loads JAX, which flags of thresholds do without.
    from jaxneurons.counting import statistics

    generator = np.random.default_rng([null.seed, step, windows, positions])
    shape = (positions, null.draws)
    count = generator.binomial(windows, step / FREQUENCY_STEPS, size=shape)
    information = np.sort(statistics.position_information(count[None], [windows])[0])
    information.flags.writeable = False
    return information
