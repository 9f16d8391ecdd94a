"""The flags that say how much of the machine may be used, the same for every command that runs a model over text."""

import math
from typing import Any, NamedTuple

from absl import flags

from jaxneurons import errors

# A flag belongs to the module that calls `define`, and its help lists it.
flags.disclaim_key_flags()


class MachineFlags(NamedTuple):
    """The flags, which `define` makes."""

    devices: flags.FlagHolder
    device_memory_gb: flags.FlagHolder
    host_memory_gb: flags.FlagHolder

    def given(self) -> dict[str, Any]:
        """Arguments of `run.resources.Resources`; raises UsageError for a number that is none."""
        return {
            "devices": self.devices.value,
            "device_memory_bytes": _bytes(self.device_memory_gb),
            "host_memory_bytes": _bytes(self.host_memory_gb),
        }


def define() -> MachineFlags:
    """Devices and memory."""
    return MachineFlags(
        flags.DEFINE_integer(
            "devices",
            None,
            "Number of devices to use, of each process where there are several. Results are bit-identical for any number. Default: all devices.",
        ),
        flags.DEFINE_float(
            "device_memory_gb",
            None,
            "Memory of each accelerator that may be used, in GiB; without an accelerator, memory of the machine. "
            "Default: 95 % of what JAX may take of an accelerator, or four fifths of the machine's.",
            lower_bound=0,
        ),
        flags.DEFINE_float(
            "host_memory_gb",
            None,
            "Memory of the machine that may be used, in GiB, not counting 0.7 GiB for Python and JAX. "
            "Default: four fifths of what this process may have.",
            lower_bound=0,
        ),
    )


def _bytes(flag: flags.FlagHolder) -> int | None:
    if flag.value is None:
        return None
    number = flag.value * 2**30
    if not math.isfinite(number):
        raise errors.UsageError(f"--{flag.name}={flag.value} is not a number of GiB.")
    return int(number)
