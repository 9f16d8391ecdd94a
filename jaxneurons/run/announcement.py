"""What a study says of itself before it begins: facts in, a line for each out."""

import numpy as np
from jax.sharding import Mesh

from jaxneurons import devices, processes
from jaxneurons.command.progress import Progress
from jaxneurons.run.memory_plan import GIB, Need, Plan
from jaxneurons.run.resources import Resources
from jaxneurons.store import reading
from jaxneurons.studies.settings import Settings
from jaxneurons.text.corpus import Windows


def say_model(
    name: str,
    store: reading.Store,
    settings: Settings,
    resources: Resources,
    progress: Progress,
) -> None:
    """Says what is known before the text is read: the model and the devices."""
    progress.log_once(model(name, store, settings))
    progress.log_once(device(devices.make_mesh(resources.devices)))


def model(name: str, store: reading.Store, settings: Settings) -> str:
    """The sizes of the model and what of it is reported."""
    config = store.config
    layers = f"{config.num_hidden_layers} layers"
    if (settings.first_layer, settings.last_layer) != (0, config.num_hidden_layers - 1):
        layers += (
            f", of which {settings.first_layer} to {settings.last_layer} are reported"
        )
    return (
        f"{name}: {layers}; {config.ffn_dim:,} neurons per layer; weights in {store.dtype}, "
        f"computed in {settings.arithmetic}"
    )


def device(mesh: Mesh) -> str:
    """How many devices there are, and of what kind."""
    kind = mesh.devices.flat[0].device_kind
    several = f" of {processes.number()} processes" if processes.number() > 1 else ""
    return f"{mesh.size} device{'s' * (mesh.size > 1)}{several}: {kind}"


def text(windows: Windows) -> list[str]:
    """What was read of each domain, and what was not; a line for each."""
    tokens = np.bincount(windows.domains, windows.lengths).astype(int)
    readings = windows.readings or [None] * len(windows.names)
    return [
        f"text {name}: {read.describe(count) if read else f'{count:,} tokens'}"
        for name, count, read in zip(windows.names, tokens, readings, strict=True)
    ]


def memory(plan: Plan, budget: Need, mesh: Mesh) -> str:
    """Where hidden states are kept, and what may be used."""
    place = {
        "memory": "in memory",
        "device": "on the device",
        "host": "in the machine's memory",
        "disk": "on disk",
    }[plan.hidden_states]
    allowed = f"{budget.device / GIB:.1f} GiB of each device and {budget.host / GIB:.1f} GiB of the machine"
    if mesh.devices.flat[0].platform == "cpu":
        allowed = f"{min(budget) / GIB:.1f} GiB"
    return f"memory: hidden states {place}; up to {allowed} may be used"
