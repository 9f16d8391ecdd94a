"""Flags that several commands have, each defined once: called by a command's module, it is that module's flag."""

import re

from absl import flags

from jaxneurons import errors
from jaxneurons.disk import requests

STUDY = (
    "Directory of a finished study, or its address in an object store, gs://BUCKET/PATH or s3://BUCKET/PATH. "
    "Credentials come from the environment."
)

# A flag belongs to the module that calls these functions, and its help lists it.
flags.disclaim_key_flags()


def required(name: str, placeholder: str, text: str) -> flags.FlagHolder:
    """A string that must be given and not be empty; errors say --name=placeholder."""
    flag = flags.DEFINE_string(name, None, text)
    _require(name, placeholder)
    return flag


def required_list(name: str, placeholder: str, text: str) -> flags.FlagHolder:
    """Strings, of which at least one must be given; absl ends the text, to which it adds a clause."""
    flag = flags.DEFINE_multi_string(name, None, text)
    _require(name, placeholder)
    return flag


def _require(name: str, placeholder: str) -> None:
    message = f"--{name}={placeholder} is required"
    flags.register_validator(name, bool, message)


def cache() -> flags.FlagHolder:
    """The directory of `command.cache`."""
    return flags.DEFINE_string(
        "cache",
        None,
        "Directory in which converted models and tokenized text are kept for later runs. Default: "
        "$JAXNEURONS_CACHE, else $XDG_CACHE_HOME/jaxneurons, else ~/.cache/jaxneurons.",
    )


def compilation_cache() -> flags.FlagHolder:
    """The directory of `command.compilation_cache`."""
    return flags.DEFINE_string(
        "compilation_cache",
        None,
        "Directory in which compiled programs are kept so that later runs start sooner; `none` keeps none. "
        "Default: $JAX_COMPILATION_CACHE_DIR, else the folder `compiled` in the cache.",
    )


def remote_seconds() -> flags.FlagHolder:
    """How long an object store may be silent."""
    return flags.DEFINE_float(
        "remote_seconds",
        None,
        f"Seconds to wait for an object store that does not answer. Default: ${requests.VARIABLE}, else "
        f"{requests.SECONDS:g}.",
        lower_bound=0.1,
    )


def revision() -> flags.FlagHolder:
    """The state of a model on the hub."""
    return flags.DEFINE_string(
        "revision",
        None,
        "Branch, tag or commit of the model on the Hugging Face hub. Default: the main branch.",
    )


def step() -> flags.FlagHolder:
    """The state of a model that is being trained."""
    return flags.DEFINE_integer(
        "step",
        None,
        "Step of the checkpoint, where --model is a training directory. Default: the last one.",
    )


def ignore_attributes() -> flags.FlagHolder:
    """Attributes of a model's configuration that are passed over."""
    return flags.DEFINE_list(
        "ignore_attributes",
        [],
        "Attributes of the model's config.json, separated by commas, that do not change what it computes though "
        "they are unknown here.",
    )


def distributed() -> flags.FlagHolder:
    """Whether the command runs in several processes."""
    return flags.DEFINE_enum(
        "distributed",
        "off",
        ["auto", "off"],
        "With `auto` this is one of several processes, each with devices of its own, that were started with the same "
        "command under SLURM, Open MPI or Kubernetes, or with $JAX_COORDINATOR_ADDRESS, $JAX_NUM_PROCESSES and "
        "$JAX_PROCESS_ID. They share the work and a disk. A study and an ablation give the same results as in one "
        "process; training rounds otherwise.",
    )


def parse_layers(flag: flags.FlagHolder) -> tuple[int, int] | None:
    """First and last of a flag's FIRST:LAST; None without it; raises UsageError for what is no such range."""
    if flag.value is None:
        return None
    match = re.fullmatch("([0-9]{1,9}):([0-9]{1,9})", flag.value)
    if match is None:
        raise errors.UsageError(
            f"--{flag.name}={flag.value!s:.80} is not FIRST:LAST, such as 0:5."
        )
    return int(match[1]), int(match[2])
