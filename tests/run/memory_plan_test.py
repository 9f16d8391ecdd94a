"""Budgets: where hidden states go, what is refused, and that a real study stays within what it was given."""

import math
import os
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
from flax import traverse_util

from jaxneurons import config, devices, errors
from jaxneurons.counting import ngram_order, paper, reductions
from jaxneurons.model import block
from jaxneurons.run import job, memory_plan, settings
from jaxneurons.run.resources import Resources
from jaxneurons.store import random_model, reading
from jaxneurons.stream import loop, step
from jaxneurons.studies import opening
from jaxneurons.text import corpus
from tests.run import edges_test
from tests.support import cases, planted, studies

WINDOWS = 40


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "store"
    return reading.open_store(planted.write_store(path, [planted.layer()] * 3))


@pytest.fixture
def windows():
    tokens = np.random.default_rng(0).integers(4, 20, (WINDOWS, 16)).astype(np.int32)
    lengths, domains = np.full((2, WINDOWS), [[16], [0]], np.int32)
    return corpus.Windows(tokens, lengths, domains, ("a",), ("",))


def plan(model, windows, device, host, **chosen):
    wanted = settings.resolve(model.config, windows_per_batch=2, **chosen)
    resources = Resources(device_memory_bytes=device, host_memory_bytes=host)
    mesh = devices.make_mesh(1)
    return memory_plan.make_plan(job.make_job(model, windows, wanted, resources, mesh))


def needed(model, windows):
    wanted = settings.resolve(model.config, windows_per_batch=2)
    mesh = devices.make_mesh(1)
    work = job.make_job(model, windows, wanted, Resources(), mesh)
    needs = memory_plan.find_needs(work)
    return memory_plan.Need(*map(sum, zip(*needs.values(), strict=True)))


HIDDEN = WINDOWS * 16 * planted.SIZE * 4


def test_one_budget_where_device_and_host_are_one_memory(model, windows):
    both = sum(needed(model, windows))
    roomy = 2**30
    for device, host in ((both + HIDDEN, roomy), (roomy, both + HIDDEN)):
        assert plan(model, windows, device, host).hidden_states == "memory"
    for device, host in ((both + HIDDEN - 1, roomy), (roomy, both)):
        assert plan(model, windows, device, host).hidden_states == "disk"
    with pytest.raises(errors.UsageError, match="^memory: 0.00.* GiB may be used, 0.0"):
        plan(model, windows, roomy, both - 1)


def test_device_first_then_host_then_disk(model, windows, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    device, host = needed(model, windows)
    for more_device, more_host, place in (
        (HIDDEN, 0, "device"),
        (HIDDEN - 1, HIDDEN, "host"),
        (0, HIDDEN - 1, "disk"),
    ):
        found = plan(model, windows, device + more_device, host + more_host)
        assert found.hidden_states == place
    with pytest.raises(errors.UsageError, match="^device memory: .*n-grams"):
        plan(model, windows, device - 1, host)
    with pytest.raises(errors.UsageError, match="^host memory: .*weights"):
        plan(model, windows, device, host - 1)


def test_counting_ngrams_gets_what_is_left(model, windows):
    both = sum(needed(model, windows))
    least = memory_plan.NGRAM_WORK_BYTES * windows.tokens.size
    assert plan(model, windows, both, both).ngram_bytes == least
    assert plan(model, windows, both + 10, both + 10).ngram_bytes == least + 10
    most = plan(model, windows, 2**32, 2**32).ngram_bytes
    assert most == memory_plan.MOST_NGRAM_WORK
    less = int(both * 0.9)
    assert plan(model, windows, less, less, ngrams=False).ngram_bytes is None


def test_defaults_are_a_share_of_what_there_is():
    assert memory_plan.budgets(Resources())[1] > 2**28
    given = Resources(device_memory_bytes=5, host_memory_bytes=0)
    assert memory_plan.budgets(given) == (5, 0)


class Accelerator:
    device_kind = "Fast 1"

    def __init__(self, statistics):
        self._statistics = statistics

    def memory_stats(self):
        return self._statistics


@cases.each("minutes", [-1.0, math.nan])
def test_a_time_between_copies_that_is_none_is_refused(minutes):
    with pytest.raises(errors.UsageError, match="^checkpoint_minutes is .* Pass 0 or"):
        Resources(checkpoint_minutes=minutes)


def test_an_accelerator_is_planned_by_what_jax_may_take_of_it(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(
        jax, "local_devices", lambda: [Accelerator({"bytes_limit": 2000})]
    )
    assert memory_plan.budgets(Resources()).device == 1900
    monkeypatch.setattr(jax, "local_devices", lambda: [Accelerator(None)])
    with pytest.raises(errors.UsageError, match="^Fast 1 does not say how") as caught:
        memory_plan.budgets(Resources())
    assert caught.value.remedy == {"device_memory_gb": "GIB"}
    given = Resources(device_memory_bytes=5)
    assert memory_plan.budgets(given).device == 5


@cases.each("neurons, number", [(3072, 1), (3072, 5), (300, 1), (20, 8)])
def test_masks_take_no_more_than_is_planned(neurons, number):
    planned = memory_plan.most_words(neurons, number)
    words = [
        ngram_order.cut_neurons(neurons, 100, memory, number).words
        for memory in range(1, 10_000, 37)
    ]
    assert max(words) <= planned < -(-neurons // 32) + 2 * number + 20


@cases.each(
    "hidden, neurons, windows, length, dtype",
    [(96, 24, 8, 64, "float32"), (64, 256, 2, 300, "float16")],
)
def test_a_step_takes_no_more_than_is_planned(hidden, neurons, windows, length, dtype):
    model = config.Config(
        vocab_size=50,
        hidden_size=hidden,
        ffn_dim=neurons,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    of = jax.ShapeDtypeStruct
    flat = {k: of(s, dtype) for k, s in block.parameter_shapes(model).items()}
    shape = (windows, length)
    chosen = settings.resolve(model, window=length, windows_per_batch=windows)
    tokens = np.full(shape, 7, np.int32)
    lengths, domains = np.full((2, windows), [[length], [0]], np.int32)
    text = corpus.Windows(tokens, lengths, domains, ("a",), ("",))
    spread = devices.spread(windows, windows, 1)
    (batch,) = loop.make_batches(text, model, spread)
    x = of((*shape, hidden), dtype, sharding=batch.tokens.sharding)
    counted = paper.paper_counts(model, tokens, lengths, text.full_windows(), spread)
    reduction = reductions.chain(*counted)
    params = traverse_util.unflatten_dict(flat, sep="/")
    states = jax.eval_shape(lambda: step.init_states(reduction.init, spread.mesh))
    lowered = step.step.lower(
        block.Block(model), reduction.update, spread.mesh, params, x, states, batch
    )
    taken = lowered.compile().memory_analysis().temp_size_in_bytes
    assert 0 < taken <= memory_plan.step_bytes(model, chosen, on_cpu=True)


# Not getrusage's ru_maxrss, which begins with what the process that started this one holds.
CHILD = """
import pathlib, re, runpy
try:
    runpy.run_path("scripts/study.py", run_name="__main__")
finally:
    status = pathlib.Path("/proc/self/status").read_text()
    print("peak", 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]))
"""


def study_in_child(folder, stored, text, *flags):
    """Runs the script in a process of its own; gives the study and the peak of its memory."""
    command = [sys.executable, "-c", CHILD, f"--model={stored}", f"--corpus=a={text}"]
    command += [f"--study={folder}", "--window=64", "--windows_per_batch=64", *flags]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return opening.open_any(folder), int(re.search(r"peak (\d+)", done.stdout)[1])


@pytest.mark.campaign
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_hidden_states_four_times_the_flag_stay_within_it(tmp_path):
    gigabytes = 0.1
    sizes = {"hidden_size": 128, "ffn_dim": 40, "num_attention_heads": 2}
    variant = edges_test.SMALL.to_json() | sizes
    variant |= {"word_embed_proj_dim": 128, "max_position_embeddings": 64}
    stored = random_model.write(tmp_path / "store", config.Config.from_json(variant))
    tokens = int(4 * gigabytes * 2**30 / (4 * 128))
    text = np.random.default_rng(0).integers(4, 30, tokens).tolist()
    source = planted.write_documents(tmp_path / "text.jsonl", [text])
    flag = f"--host_memory_gb={gigabytes}"
    spilled, peak = study_in_child(tmp_path / "a", stored, source, flag, "--nongrams")
    roomy = studies.run_study(
        tmp_path / "b",
        stored,
        [("a", source)],
        window=64,
        windows_per_batch=64,
        ngrams=False,
    )
    places = [study.facts.done for study in (spilled, roomy)]
    assert [{e.hidden_states for e in p} for p in places] == [{"disk"}, {"memory"}]
    for name in ("activation_count", "special_activation_count", "position_count"):
        np.testing.assert_array_equal(spilled.read(name), roomy.read(name))
    assert peak <= (gigabytes + 0.7) * 2**30
