"""Pages of the largest models: how large they get, and how long they take, which `-rP` shows."""

import time

import pytest

from tests.support import browser, helpers, large_study

# Prints the largest number of bytes that writing a page takes.
WRITE = """
import pathlib, resource, sys
from jaxneurons.explorer import write
write.write_in_study(pathlib.Path(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


# It writes gigabytes.
pytestmark = pytest.mark.campaign


def write_page(path):
    start = time.monotonic()
    peak = int(helpers.run_python(WRITE, path))
    size = sum(each.stat().st_size for each in (path / "explorer").rglob("*.js"))
    seconds = time.monotonic() - start
    print(
        f"{path.name}: {seconds:.0f} s, {size / 1e6:.1f} MB, peak {peak / 2**20:.0f} MiB"
    )
    return size, peak


def test_the_page_of_36_864_neurons_takes_at_most_40_megabytes(tmp_path):
    path = large_study.write(
        tmp_path / "opt-125m", "125m", tokens=5_000_000, window=2048
    )
    size, _ = write_page(path)
    assert size <= 40e6


@browser.needed
def test_the_page_of_two_million_neurons_is_written_in_2_gibibytes_and_opens(tmp_path):
    path = large_study.write(tmp_path / "opt-66b", "66b", tokens=500_000, window=64)
    _, peak = write_page(path)
    assert peak < 2 * 2**30
    address = (path / "explorer/index.html").as_uri()
    with browser.running() as chromium:
        page = chromium.open(address)
        for route in (
            "#/neurons",
            "#/neurons?frequency=0.2..0.5",
            "#/neurons?sort=-mi&page=20000",
            "#/layer/12/neuron/847?sort=-mi",
        ):
            start = time.monotonic()
            page.route(route)
            print(f"{route}: {time.monotonic() - start:.1f} s, {page.text('#status')}")
        assert " of 2,359,296 neurons in the table" in page.text("nav.pager")
        page.call("HeapProfiler.collectGarbage")
        used = page.call("Runtime.getHeapUsage")
        used = used["usedSize"] + used.get("backingStorageSize", 0)
        print(f"heap of the page: {used / 1e6:.0f} MB")
        assert used < 400e6
        assert page.problems == []
