"""Compiled programs outlive their process, in the folder of this machine's kind of processor."""

import json
import os
import pathlib
import re
import resource
import stat
import subprocess
import sys

import pytest

# Compiles one program that takes long enough to be kept, and says what JAX did.
PROGRAM = """
import json, pathlib, sys
import jax, jax.numpy as jnp
from absl import flags
from jaxneurons import compilation_cache
flags.FLAGS(sys.argv[:1] + sys.argv[2:])
compilation_cache.LEAST_SECONDS = 0
compilation_cache.enable(pathlib.Path(sys.argv[1]))
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name.endswith("/cache_hits")))
def waves(x):
    for _ in range(30):
        x = jnp.sin(x @ x) + x.T
    return x
value = float(jax.jit(waves)(jnp.ones((9, 9))).sum())
print(json.dumps([sum(hits), value, jax.config.jax_compilation_cache_dir]))
"""


def run(cache, *flags, largest_file=resource.RLIM_INFINITY, **variables):
    # Not in the cache that all other tests share.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    environment = inherited | {
        "PYTHONPATH": str(pathlib.Path(__file__).parents[2]),
        "JAX_PLATFORMS": "cpu",
        **variables,
    }
    limit = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({largest_file},) * 2)"
    program = f"import resource\n{limit}\n{PROGRAM}"
    done = subprocess.run(
        [sys.executable, "-c", program, str(cache), *flags],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done


def found(cache, *flags, **variables):
    done = run(cache, *flags, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return cache, *found(cache)


def test_the_next_process_compiles_nothing(first):
    cache, hits, value, directory = first
    assert hits == 0
    again, same_value, same_directory = found(cache)
    assert again > 0
    assert (same_value, same_directory) == (value, directory)


def test_only_its_owner_can_write_there(first):
    cache, *_, directory = first
    assert pathlib.Path(directory).parent == cache / "compiled"
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700


def test_a_damaged_entry_is_compiled_anew(first, tmp_path):
    _, _, value, directory = first
    kept = tmp_path / pathlib.Path(directory).name
    kept.mkdir()
    for entry in pathlib.Path(directory).iterdir():
        content = entry.read_bytes()
        (kept / entry.name).write_bytes(content[: len(content) // 2])
    flag = f"--compilation_cache={tmp_path}"
    damaged = run(tmp_path, flag)
    assert json.loads(damaged.stdout) == [0, value, str(kept)]
    assert all("is compiled anew: " in line for line in damaged.stderr.splitlines())
    again = run(tmp_path, flag)
    assert json.loads(again.stdout)[0] > 0 and again.stderr == ""


@pytest.mark.fault(case=13)
def test_a_disk_that_takes_no_more_is_one_line(tmp_path):
    full = run(tmp_path, largest_file=512)
    assert full.returncode == 0
    kept = f"{tmp_path}/compiled/.*: compiled programs are not kept: .*File too large.*"
    assert re.fullmatch(kept, full.stderr.rstrip("\n"))
    # What was cut off is no hindrance.
    assert found(tmp_path)[0] == 0
    assert found(tmp_path)[0] > 0


def test_a_flag_and_a_variable_decide(tmp_path):
    assert found(tmp_path, "--compilation_cache=none")[2] is None
    own = str(tmp_path / "own")
    assert found(tmp_path, JAX_COMPILATION_CACHE_DIR=own)[2] == own
    assert not (tmp_path / "compiled").exists()


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "compiled").write_text("")
    refused = run(tmp_path)
    assert refused.returncode != 0
    assert f"InputOutputError: cannot write {tmp_path}/compiled/" in refused.stderr
