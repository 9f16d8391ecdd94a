"""Compiled programs outlive their process, in the folder of this machine's kind of processor."""

import json
import os
import pathlib
import re
import resource
import stat
import subprocess
import sys
import warnings

import jax
import pytest

from jaxneurons.command import compilation_cache

# Compiles one program, and says what JAX did.
PROGRAM = """
import json, pathlib, sys
import jax, jax.numpy as jnp
from jaxneurons.command import compilation_cache
given = (sys.argv[2:] or [None])[0]
compilation_cache.enable(given, pathlib.Path(sys.argv[1]))
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name.endswith("/cache_hits")))
def waves(x):
    for _ in range(30):
        x = jnp.sin(x @ x) + x.T
    return x
value = float(jax.jit(waves)(jnp.ones((9, 9))).sum())
print(json.dumps([sum(hits), value, jax.config.jax_compilation_cache_dir]))
"""


def run(cache, *given, largest_file=resource.RLIM_INFINITY, **variables):
    # Not in the cache that all other tests share.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    environment = inherited | {
        "PYTHONPATH": str(pathlib.Path(__file__).parents[2]),
        "JAX_PLATFORMS": "cpu",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        **variables,
    }
    limit = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({largest_file},) * 2)"
    program = f"import resource\n{limit}\n{PROGRAM}"
    done = subprocess.run(
        [sys.executable, "-c", program, str(cache), *given],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done


def found(cache, *given, **variables):
    done = run(cache, *given, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_kept_from_process_to_process_and_mended_where_damaged(tmp_path):
    hits, value, directory = found(tmp_path)
    assert hits == 0
    kept = pathlib.Path(directory)
    assert kept.parent == tmp_path / "compiled"
    # For its owner alone: who writes there has programs run here.
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    again = run(tmp_path)
    assert json.loads(again.stdout)[0] > 0 and again.stderr == ""
    for entry in kept.iterdir():
        os.truncate(entry, entry.stat().st_size // 2)
    damaged = run(tmp_path)
    assert json.loads(damaged.stdout)[:2] == [0, value]
    lines = damaged.stderr.splitlines()
    assert lines and all("is compiled again: " in line for line in lines)
    mended = run(tmp_path)
    assert json.loads(mended.stdout)[0] > 0 and mended.stderr == ""


@pytest.mark.fault(case=13)
def test_a_disk_that_takes_no_more_is_one_line(tmp_path):
    full = run(tmp_path, largest_file=512)
    assert full.returncode == 0
    kept = f"{tmp_path}/compiled/.*: compiled programs are not kept: .*File too large.*"
    assert re.fullmatch(kept, full.stderr.rstrip("\n"))


@pytest.mark.campaign
def test_a_flag_and_a_variable_decide(tmp_path):
    assert found(tmp_path, "none")[2] is None
    own = str(tmp_path / "own")
    assert found(tmp_path, JAX_COMPILATION_CACHE_DIR=own)[2] == own
    assert not (tmp_path / "compiled").exists()


def test_nothing_is_kept_where_none_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = jax.config.jax_compilation_cache_dir, warnings.showwarning
    compilation_cache.enable("none", tmp_path)
    assert (jax.config.jax_compilation_cache_dir, warnings.showwarning) == before
    assert not any(tmp_path.iterdir())


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "compiled").write_text("")
    done = run(tmp_path)
    assert json.loads(done.stdout)[2] is None
    assert (
        done.stderr.startswith(f"{tmp_path}/compiled/") and done.stderr.count("\n") == 1
    )
    assert "compiled programs are not kept" in done.stderr
