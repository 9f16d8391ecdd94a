"""Studies the neurons of an OPT model on text, from checkpoint to figures.

    python scripts/study.py --study=studies/demo
    python scripts/study.py --model=facebook/opt-125m --study=studies/opt-125m \
        --corpus=wikipedia=wiki.jsonl.gz --corpus=code=python_files/

Without --model and --corpus it studies the small model on the texts that come with the package, 432 thousand
tokens: a minute on two idle CPU cores, and 139 of 4,096 neurons are dead.
"""

import math
import pathlib

from absl import flags

import jaxneurons
from jaxneurons import errors
from jaxneurons.command import cache, compilation_cache, script
from jaxneurons.run import settings
from jaxneurons.run.resources import Resources
from jaxneurons.text import corpus

flags.adopt_module_key_flags(compilation_cache)

_MODEL = flags.DEFINE_string(
    "model",
    None,
    "A Hugging Face directory, a hub id such as facebook/opt-125m, a layer store, or a directory "
    "that train.py wrote; "
    "default: the model that comes with the package.",
)
_CORPUS = flags.DEFINE_multi_string(
    "corpus",
    [],
    "NAME=PATH, repeatable: a domain's text, as .txt, .jsonl with `text` or `tokens`, .gz of "
    "either, or a directory of them; default: the texts that come with the package.",
)
_STUDY = flags.DEFINE_string("study", None, "Directory to write.", required=True)
_STEP = flags.DEFINE_integer(
    "step", None, "Of a checkpoint of a training directory; default: the last."
)
_WINDOW = flags.DEFINE_integer(
    "window", None, "Tokens a window; default: the model's longest context."
)
_LAYERS = flags.DEFINE_string(
    "layers",
    None,
    "FIRST:LAST, both included, e.g. 0:5 for the first six: layers to report. Those below "
    "FIRST still run, those above LAST do not; default: all.",
)
_WINDOWS_PER_BATCH = flags.DEFINE_integer(
    "windows_per_batch",
    None,
    "Windows that each device takes at a time; default: as many as make about 2,048 "
    "tokens, 16,384 on accelerators.",
)
_DTYPE = flags.DEFINE_enum(
    "dtype", "float32", settings.DTYPES, "The type to compute in."
)
_RESUME = flags.DEFINE_bool("resume", False, "Go on with an unfinished study.")
_MAX_TOKENS = flags.DEFINE_integer(
    "max_tokens",
    None,
    "Most tokens of text, shared out over the domains; default: all.",
)
_CHECKPOINT_MINUTES = flags.DEFINE_float(
    "checkpoint_minutes",
    10.0,
    "Least minutes between copies of the residual stream to disk, from which --resume goes on. 0 makes "
    "a copy after every layer, inf makes none. Default: 10.",
    lower_bound=0,
)
_DEVICES = flags.DEFINE_integer(
    "devices", None, "Of this host, to share the windows; default: all."
)
_NGRAMS = flags.DEFINE_bool(
    "ngrams", True, "Count n-grams; --nongrams leaves them out."
)
_DEVICE_MEMORY_GB = flags.DEFINE_float(
    "device_memory_gb",
    None,
    "Most memory of each accelerator to use, GiB; without an accelerator it is the machine's; default: "
    "four fifths of what there is.",
    lower_bound=0,
)
_HOST_MEMORY_GB = flags.DEFINE_float(
    "host_memory_gb",
    None,
    "Most memory of the machine to use, GiB, beside the 0.7 of Python and JAX; default: four fifths of "
    "what there is.",
    lower_bound=0,
)
_SPILL_DIR = flags.DEFINE_string(
    "spill_dir",
    None,
    "Where hidden states go that neither memory holds, and the copies that --resume reads; "
    "default: into the study.",
)
_TOKENS_PER_PASS = flags.DEFINE_integer(
    "tokens_per_pass",
    None,
    "Tokens whose hidden states are held at a time; the weights are read again for each such pass. "
    "Needs --nongrams; default: all.",
    lower_bound=1,
)
_CACHE = flags.DEFINE_string(
    "cache", None, "Where converted models and tokenized text are kept."
)


_REVISION = flags.DEFINE_string(
    "revision", None, "Branch, tag or commit of a model on the hub."
)


def main() -> None:
    if not _STUDY.value:
        raise errors.UsageError("--study is empty, wanted a directory to write")
    cache_directory = pathlib.Path(_CACHE.value or cache.default_cache_directory())
    compilation_cache.enable(cache_directory)
    # Before a model is converted, which may take long.
    resources = Resources(
        device_memory_bytes=_bytes(_DEVICE_MEMORY_GB),
        host_memory_bytes=_bytes(_HOST_MEMORY_GB),
        spill_directory=_SPILL_DIR.value and pathlib.Path(_SPILL_DIR.value),
        checkpoint_minutes=_CHECKPOINT_MINUTES.value,
        tokens_per_pass=_TOKENS_PER_PASS.value,
        devices=_DEVICES.value,
    )
    model = jaxneurons.open_model(
        _MODEL.value, revision=_REVISION.value, step=_STEP.value, cache=cache_directory
    )
    text = jaxneurons.load_text(
        model,
        dict(corpus.parse_sources(_CORPUS.value)) or None,
        window=_WINDOW.value,
        max_tokens=_MAX_TOKENS.value,
        cache=cache_directory,
    )
    result = jaxneurons.study(
        model,
        text,
        _STUDY.value,
        layers=settings.parse_layers(_LAYERS.value),
        windows_per_batch=_WINDOWS_PER_BATCH.value,
        dtype=_DTYPE.value,
        ngrams=_NGRAMS.value,
        resume=_RESUME.value,
        resources=resources,
    )
    figures = sorted((result.path / "figures").iterdir())
    print(f"wrote {len(figures)} figures:", *figures, sep="\n  ")


def _bytes(flag: flags.FlagHolder) -> int | None:
    if flag.value is None:
        return None
    number = flag.value * 2**30
    if not math.isfinite(number):
        raise errors.UsageError(f"--{flag.name}={flag.value}: wanted a number of GiB")
    return int(number)


if __name__ == "__main__":
    script.run(main)
