"""Measures speed and memory beside other people's forward passes, each in a process of its own, in turn.

    python scripts/benchmark.py --layers=1 --out=benchmark.json
    python scripts/benchmark.py --scaling --tokens=262144 --layers=2
    python scripts/benchmark.py --roofline --repeats=9
    python scripts/benchmark.py --profile=trace.json.gz --layers=2 --tokens=16384

Prints a Markdown table; the last line of the first command is what n-grams cost. On 2 CPU cores shared
by eight processes it took 12 minutes, and the ends of layers, which are n-grams, 3.4 % of a forward pass.
"""

import pathlib
import sys

from absl import flags

from convert import hf_config
from jaxneurons import config, demo, errors
from jaxneurons.benchmark import run, workload
from jaxneurons.command import script

_SCALING = flags.DEFINE_bool(
    "scaling", False, "How time and memory grow with tokens and layers, instead."
)
_ROOFLINE = flags.DEFINE_bool(
    "roofline", False, "What share of the matrix-product ceiling is reached, instead."
)
_PROFILE = flags.DEFINE_string(
    "profile",
    None,
    "Where the time goes, instead: file to write JAX's profile to, .json.gz, which https://ui.perfetto.dev opens.",
)
_SHAPE = flags.DEFINE_enum(
    "shape", "opt-125m", [*config.PUBLISHED, "demo"], "The model whose sizes to take."
)
_LAYERS = flags.DEFINE_integer("layers", None, "How many of its layers; default: all.")
_TOKENS = flags.DEFINE_integer("tokens", 65536, "Tokens, all windows together.")
_WINDOW = flags.DEFINE_integer("window", 2048, "Tokens a window.")
_WINDOWS_PER_BATCH = flags.DEFINE_integer("windows_per_batch", 1, "Windows at a time.")
_DTYPE = flags.DEFINE_enum(
    "dtype", "float32", workload.DTYPES, "The type to compute in."
)
_REPEATS = flags.DEFINE_integer("repeats", 3, "Rounds of measuring.", lower_bound=1)
_PEERS_KEEP_MEMORY = flags.DEFINE_bool(
    "peers_keep_memory",
    False,
    "Whether the others' processes keep freed memory for reuse as ours do; by default they run as they come.",
)
_OUT = flags.DEFINE_string(
    "out", None, "JSON file to write all numbers to; the table goes beside it, as .md."
)


def main() -> None:
    report = run.run(
        *_mode(),
        workload.checked(
            _config(),
            layers=_LAYERS.value,
            tokens=_TOKENS.value,
            window=_WINDOW.value,
            windows_per_batch=_WINDOWS_PER_BATCH.value,
            dtype=_DTYPE.value,
        ),
        repeats=_REPEATS.value,
        out=pathlib.Path(_OUT.value) if _OUT.value else None,
        say=lambda line: print(line, file=sys.stderr),
    )
    print(report)


def _mode() -> tuple[str, run.Mode]:
    """The name of what is asked for, and how it is done."""
    asked = [flag.name for flag in (_SCALING, _ROOFLINE, _PROFILE) if flag.value]
    if asked and _PEERS_KEEP_MEMORY.value:
        raise errors.UsageError(f"--peers_keep_memory: --{asked[0]} has no peers")
    match asked:
        case []:
            kept = _PEERS_KEEP_MEMORY.value
            name = "comparison, peers keep memory" if kept else "comparison"
            return name, run.comparison_mode("jaxneurons.benchmark.peers", kept)
        case ["scaling"]:
            return "scaling", run.SCALING
        case ["roofline"]:
            return "roofline", run.ROOFLINE
        case ["profile"]:
            return "profile", run.profile_mode(pathlib.Path(_PROFILE.value))
    raise errors.UsageError(f"--{' and --'.join(asked)}: wanted one of them")


def _config() -> config.Config:
    if _SHAPE.value == "demo":
        return hf_config.read_config(demo.model_directory())
    return config.PUBLISHED[_SHAPE.value]


if __name__ == "__main__":
    script.run(main)
