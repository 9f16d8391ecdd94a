"""How windows are spread over the devices of one host: who computes which, and where each array lies.

In: the number of windows, of windows in a batch, and of devices. Out: shardings, and the row of each window.
One mesh axis. Every device takes `windows_per_batch` windows at a time, whatever the number of devices, so
that the same executable computes each window and every number of a study has the same bits.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxneurons import errors

AXIS = "windows"
IntOrArray = TypeVar("IntOrArray", int, np.ndarray, jax.Array)


class Spread(NamedTuple):
    """W windows in parts of B consecutive ones; a batch is one part for each of N devices, in order.

    Attributes:
        windows: W.
        windows_per_part: B, of one device's part of a batch.
        mesh: the devices.
    """

    windows: int
    windows_per_part: int
    mesh: Mesh

    @property
    def windows_at_once(self) -> int:
        """Windows of a batch, over all devices."""
        return self.mesh.size * self.windows_per_part

    @property
    def parts(self) -> int:
        """Parts that hold a window; the last may not be full."""
        return -(-self.windows // self.windows_per_part)

    @property
    def batches(self) -> int:
        """Batches; the last may lack parts."""
        return -(-self.parts // self.mesh.size)

    @property
    def windows_per_device(self) -> int:
        """Windows of each device in all batches together, those included that only fill up."""
        return self.batches * self.windows_per_part

    @property
    def windows_padded(self) -> int:
        """Windows in all batches, those included that only fill up."""
        return self.mesh.size * self.windows_per_device

    def rows(self) -> np.ndarray:
        """Where each window lies, int[W], if every device keeps its own in order and these are joined."""
        windows = np.arange(self.windows)
        device = windows // self.windows_per_part % self.mesh.size
        return device * self.windows_per_device + self.row_on_device(windows)

    def row_on_device(self, window: IntOrArray) -> IntOrArray:
        """Where a window lies among those of its own device."""
        batch = window // self.windows_at_once
        return batch * self.windows_per_part + window % self.windows_per_part


def spread(windows: int, windows_per_part: int, number: int | None = None) -> Spread:
    """Spreads windows over the first `number` of this host's devices; None is all.

    Raises:
        UsageError: there are not so many.
    """
    return Spread(windows, windows_per_part, make_mesh(number))


def make_mesh(number: int | None = None) -> Mesh:
    """One axis over the first `number` of this host's devices; None is all; raises as `spread`."""
    local = jax.local_devices()
    if number is not None and not 1 <= number <= len(local):
        raise errors.UsageError(
            f"{number} devices were asked for, and this host has {len(local)}."
        )
    return mesh_over(local[:number])


def mesh_over(chosen: Sequence[jax.Device]) -> Mesh:
    """One axis over some devices."""
    return Mesh(np.array(chosen), (AXIS,))


@contextlib.contextmanager
def unguarded() -> Iterator[None]:
    """Within it JAX's aids for debugging refuse nothing: transfers are meant, and NaN and infinity are looked for."""
    with (
        jax.transfer_guard("allow"),
        jax.debug_nans(False),
        jax.debug_infs(False),
    ):
        yield


def sharded(mesh: Mesh) -> NamedSharding:
    """An equal part of the first axis on each device."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def mesh_of(x: jax.Array) -> Mesh:
    """The mesh that an array lies on, spread by `sharded` or `replicated`."""
    mesh = getattr(x.sharding, "mesh", None)
    if not isinstance(mesh, Mesh):
        raise TypeError(f"an array on {x.sharding} is not on the devices of a mesh")
    return mesh
