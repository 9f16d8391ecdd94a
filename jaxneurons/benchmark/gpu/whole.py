"""One whole study here and on this machine's CPU: a small model in, what differs and how long it took out.

As a program it makes one such study: `python -m jaxneurons.benchmark.gpu.whole DIRECTORY DTYPE TOKENS`.
"""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np

from jaxneurons import demo, errors
from jaxneurons.benchmark.gpu.figure import Figure
from jaxneurons.benchmark.gpu.sizes import Sizes

# Of prctl(2): the signal that comes when the parent ends.
_PR_SET_PDEATHSIG = 1
# Percent of the sum; a mask that two orders of a float32 sum decide differently is rare.
MOST_COUNTS = 0.01
COMPARED = (
    "activation_count",
    "position_count",
    "ngram_coverage",
    "ngram_activation_count",
)


def against_cpu(sizes: Sizes) -> Iterator[Figure]:
    """Counts of opt-1.9m in float32 and in float16, against the CPU's in float32."""
    import jaxneurons

    with tempfile.TemporaryDirectory() as folder:

        def counts(place: str, dtype: str) -> dict[str, np.ndarray]:
            path = f"{folder}/{place}-{dtype}"
            _run(path, dtype, sizes.study_tokens, place)
            arrays = jaxneurons.open_study(path).arrays
            return {name: arrays[name].values.astype(np.int64) for name in COMPARED}

        began = time.monotonic()
        wanted = counts("cpu", "float32")
        yield Figure("study on the CPU", time.monotonic() - began, "s")
        for dtype in ("float32", "float16"):
            began = time.monotonic()
            found = counts("here", dtype)
            yield Figure(f"study in {dtype}", time.monotonic() - began, "s")
            for name, array in found.items():
                differing = np.abs(array - wanted[name]).sum() / wanted[name].sum()
                share = float(100 * differing)
                is_wrong = dtype == "float32" and share > MOST_COUNTS
                name = f"{name} in {dtype}: off by"
                yield Figure(name, share, "% of the sum", is_wrong)


def _run(path: str, dtype: str, tokens: int, place: str) -> None:
    """A study in a process of its own, which has the device for itself."""
    environment = os.environ | ({"JAX_PLATFORMS": "cpu"} if place == "cpu" else {})
    command = [sys.executable, "-m", __name__, path, dtype, str(tokens)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:]
        raise errors.JaxneuronsError(f"the study in {dtype} failed: {' '.join(said)}")


def _study(path: str, dtype: str, tokens: str) -> None:
    import jaxneurons

    # A check that is out of time is killed; this ends with it.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    model = jaxneurons.open_model(demo.RUNNING_TEXT)
    text = jaxneurons.load_text(model, window=64, max_tokens=int(tokens))
    jaxneurons.study(model, text, path, dtype=dtype, suppression=False, figures=False)


if __name__ == "__main__":
    _study(*sys.argv[1:])
