"""What a study says of itself before it begins: facts in, a line for each out."""

import numpy as np
from jax.sharding import Mesh

from jaxneurons import devices
from jaxneurons.command.progress import Progress
from jaxneurons.config import Config
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
        f"computed in {settings.dtype}"
    )


def device(mesh: Mesh) -> str:
    """How many devices there are, and of what kind."""
    kind = mesh.devices.flat[0].device_kind
    return f"{mesh.size} device{'s' * (mesh.size > 1)}: {kind}"


def text(windows: Windows, config: Config) -> str:
    """Documents and tokens of each domain."""
    return f"text: {'; '.join(_domain(windows, config, index) for index in range(len(windows.names)))}"


def _domain(windows: Windows, config: Config, index: int) -> str:
    chosen = windows.domains == index
    tokens, lengths = windows.tokens[chosen], windows.lengths[chosen]
    # Every window begins with the token that also stands between documents.
    inside = np.arange(1, tokens.shape[1]) < lengths[:, None]
    documents = 1 + int(
        (inside & (tokens[:, 1:] == config.document_start_token_id)).sum()
    )
    return (
        f"{windows.names[index]} {documents:,} document{'s' * (documents > 1)}, "
        f"{int(lengths.sum()):,} tokens"
    )


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
