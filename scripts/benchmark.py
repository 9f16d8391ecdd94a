"""Measures speed and memory beside other people's forward passes, each in a process of its own, in turn.

    python scripts/benchmark.py --layers=1 --out=benchmark.json
    python scripts/benchmark.py --scaling --tokens=262144 --layers=2
    python scripts/benchmark.py --roofline --repeats=9
    python scripts/benchmark.py --whole_process
    python scripts/benchmark.py --profile=trace.json.gz --layers=2 --tokens=16384

Prints a Markdown table; the last line of the first command is what n-grams cost. On 2 CPU cores shared
by eight processes it took 12 minutes, and the ends of layers, which are n-grams, 3.4 % of a forward pass.
"""

import pathlib
import sys
import tempfile
from typing import Any

from absl import flags

from jaxneurons import config, errors
from jaxneurons.command import script
from jaxneurons.disk import places

_SCALING = flags.DEFINE_bool(
    "scaling", False, "Measure how time and memory grow with tokens and layers instead."
)
_ROOFLINE = flags.DEFINE_bool(
    "roofline", False, "Measure the share of a matrix product's best rate instead."
)
_WHOLE_PROCESS = flags.DEFINE_bool(
    "whole_process",
    False,
    "Measure whole commands instead, from a Hugging Face directory and text to counts and figures.",
)
_PROFILE = flags.DEFINE_string(
    "profile",
    None,
    "Measure where the time goes instead, and write JAX's profile to this .json.gz file, which "
    "https://ui.perfetto.dev opens.",
)
_SHAPE = flags.DEFINE_enum(
    "shape", "opt-125m", [*config.PUBLISHED, "demo"], "Model whose sizes to take."
)
_LAYERS = flags.DEFINE_integer(
    "layers", None, "Number of layers to run. Default: all layers of --shape."
)
_TOKENS = flags.DEFINE_integer("tokens", 65536, "Number of tokens in all windows.")
_WINDOW = flags.DEFINE_integer("window", 2048, "Number of tokens per window.")
_WINDOWS_PER_BATCH = flags.DEFINE_integer(
    "windows_per_batch", 1, "Number of windows to compute at a time."
)
_DTYPE = flags.DEFINE_enum(
    "dtype", "float32", config.DTYPES, "Floating-point type to compute in."
)
_REPEATS = flags.DEFINE_integer(
    "repeats", 3, "Number of rounds to measure.", lower_bound=1
)
_PEERS_KEEP_MEMORY = flags.DEFINE_bool(
    "peers_keep_memory",
    False,
    "Whether the others' processes keep freed memory for reuse, as ours do.",
)
_OUT = flags.DEFINE_string(
    "out", None, "JSON file to write all numbers to, with the table beside it as .md."
)


@script.command
def main() -> None:
    from jaxneurons.benchmark import run, workload

    measured = workload.checked(
        _config(),
        layers=_LAYERS.value,
        tokens=_TOKENS.value,
        window=_WINDOW.value,
        windows_per_batch=_WINDOWS_PER_BATCH.value,
        dtype=_DTYPE.value,
    )
    with tempfile.TemporaryDirectory() as folder:
        report = run.run(
            *_mode(pathlib.Path(folder)),
            measured,
            repeats=_REPEATS.value,
            out=places.local(_OUT.value) if _OUT.value else None,
            say=lambda line: print(line, file=sys.stderr),
        )
    print(report)


def _mode(folder: pathlib.Path) -> tuple[str, Any]:
    """The name of what is asked for, and how it is done, with files in the folder."""
    from jaxneurons.benchmark import run

    modes = (_SCALING, _ROOFLINE, _WHOLE_PROCESS, _PROFILE)
    asked = [flag.name for flag in modes if flag.value]
    if len(asked) > 1:
        raise errors.UsageError(f"--{' and --'.join(asked)} exclude each other.")
    if asked and _PEERS_KEEP_MEMORY.value:
        raise errors.UsageError(
            f"--peers_keep_memory and --{asked[0]} exclude each other."
        )
    if asked == ["profile"]:
        return "profile", run.profile_mode(places.local(_PROFILE.value))
    if asked == ["whole_process"]:
        return "whole_process", run.whole_process_mode(
            pathlib.Path(__file__).with_name("study.py"), folder
        )
    if asked:
        return asked[0], {"scaling": run.SCALING, "roofline": run.ROOFLINE}[asked[0]]
    kept = _PEERS_KEEP_MEMORY.value
    name = "comparison, peers keep memory" if kept else "comparison"
    return name, run.comparison_mode(kept)


def _config() -> config.Config:
    if _SHAPE.value != "demo":
        return config.PUBLISHED[_SHAPE.value]
    from convert import hf_config
    from jaxneurons import demo

    return hf_config.read_config(demo.directory(demo.RUNNING_TEXT))


if __name__ == "__main__":
    main()
