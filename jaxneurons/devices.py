"""How windows are spread over the devices of all processes: who computes which, and where each array lies.

In: the number of windows, of windows in a batch, and of devices. Out: shardings, the row of each window, and arrays
to and from the devices. One mesh axis. Every device takes `windows_per_batch` windows at a time, whatever the number
of devices and processes, so that the same executable computes each window and every number of a study has the same
bits. A process's devices lie side by side on the axis; it puts on them, and takes from them, what is theirs alone.
"""

import contextlib
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

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
    def own_devices(self) -> int:
        """Devices of this process."""
        return len(self.mesh.local_devices)

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
    """Spreads windows over the first `number` devices of each process; None is all.

    Raises:
        UsageError: there are not so many.
    """
    return Spread(windows, windows_per_part, make_mesh(number))


def make_mesh(number: int | None = None) -> Mesh:
    """One axis over the first `number` devices of each process; None is all; raises as `spread`."""
    local = len(jax.local_devices())
    if number is not None and not 1 <= number <= local:
        raise errors.UsageError(
            f"{number} devices were asked for, and this host has {local}."
        )
    found = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    by_process = itertools.groupby(found, lambda device: device.process_index)
    return mesh_over([each for _, own in by_process for each in [*own][:number]])


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


def put(host: Any, sharding: NamedSharding) -> Any:
    """Puts a tree of arrays that every process has on the devices, as `sharding` spreads them."""
    if sharding.is_fully_addressable:
        return jax.device_put(host, sharding)
    return jax.tree.map(
        lambda array: jax.make_array_from_callback(
            array.shape, sharding, lambda index: array[index]
        ),
        host,
    )


def put_own(own: np.ndarray, sharding: NamedSharding) -> jax.Array:
    """Makes one array of what each process has for its own devices, as `own_part` gives it."""
    return jax.make_array_from_process_local_data(sharding, own)


def own_part(x: jax.Array) -> np.ndarray:
    """What this process's devices hold of an array that `sharded` spreads, in order."""
    if x.is_fully_addressable:
        return np.asarray(x)
    shards = sorted(x.addressable_shards, key=lambda shard: shard.index[0].start or 0)
    return np.concatenate([np.asarray(shard.data) for shard in shards])


def whole(x: jax.Array) -> np.ndarray:
    """All of an array on the host, whichever processes hold it; a call that all of them make."""
    return np.asarray(everywhere(x))


def everywhere(tree: Any) -> Any:
    """The same arrays, on every device where other processes hold parts; a call that all processes make."""
    if all(leaf.is_fully_addressable for leaf in jax.tree.leaves(tree)):
        return tree
    return _replicate(tree, mesh_of(jax.tree.leaves(tree)[0]))


@functools.partial(jax.jit, static_argnames="mesh")
def _replicate(tree: Any, mesh: Mesh) -> Any:
    return jax.lax.with_sharding_constraint(tree, replicated(mesh))


def at_hand(tree: Any) -> Any:
    """The same tree, but of arrays on every device of several processes the copy of one of this process's devices.

    So it can be computed with here, without the other processes. What devices hold parts of stays as it is.
    """

    def own_copy(x: jax.Array) -> jax.Array:
        shared = x.is_fully_replicated and not x.is_fully_addressable
        return x.addressable_data(0) if shared else x

    return jax.tree.map(own_copy, tree)


def own_places(sharding: jax.sharding.Sharding) -> slice:
    """Where this process's devices are on the axis that `sharded` spreads an array over."""
    own = sharding.addressable_devices_indices_map((sharding.num_devices,))
    places = [index[0].start or 0 for index in own.values() if index]
    return slice(min(places), max(places) + 1)


def mesh_of(x: jax.Array) -> Mesh:
    """The mesh that an array lies on, spread by `sharded` or `replicated`."""
    mesh = getattr(x.sharding, "mesh", None)
    if not isinstance(mesh, Mesh):
        raise TypeError(f"an array on {x.sharding} is not on the devices of a mesh")
    return mesh
