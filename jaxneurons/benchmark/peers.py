"""Other people's forward passes as contenders of a benchmark: a workload in, a function to measure out.

It lives here because this package alone imports torch. A CUDA GPU is used where there is one. Each has a hook at every fc1 that counts
positive values by neuron, the least that a study of neurons needs.
"""

import atexit
import importlib
import tempfile
from collections.abc import Callable
from typing import Any

import torch
import transformers

from convert import export
from jaxneurons.benchmark import workload as workloads
from jaxneurons.benchmark.workload import Workload


def make(workload: Workload, attention: str) -> Callable[[], dict[str, Any]]:
    """A forward pass of transformers with "sdpa" or "eager" attention, or of TransformerLens ("bridge").

    "offloaded" is "sdpa" with accelerate reading every weight from disk when it is needed.
    """
    inner = {"bridge": "eager", "offloaded": "sdpa"}.get(attention, attention)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = _random_model(workload, inner)
    if attention == "offloaded":
        _offload(model, device)
    else:
        model.to(device)
    config = workload.config
    shape = (config.num_hidden_layers, config.ffn_dim)
    counts = torch.zeros(shape, dtype=torch.int64, device=device)
    add = _bridge(model) if attention == "bridge" else hooked(model)
    batches = torch.from_numpy(workloads.make_tokens(workload)).long().to(device)
    batches = batches.split(workload.windows_per_batch)

    def forward(batches: tuple[torch.Tensor, ...]) -> dict[str, Any]:
        counts.zero_()
        with torch.inference_mode():
            for batch in batches:
                add(batch, counts)
        return {"active_share": counts.sum().item() / workload.tokens / counts.numel()}

    forward(batches[:1])
    return lambda: forward(batches)


def _random_model(workload: Workload, attention: str) -> transformers.OPTForCausalLM:
    """A model as transformers initialises it, with thresholds for its neurons."""
    config = workload.config
    attributes = export.config_attributes(config, "opt", workload.dtype)
    dtype = getattr(torch, workload.dtype)
    torch.manual_seed(0)
    model = transformers.OPTForCausalLM._from_config(
        transformers.OPTConfig(**attributes, attn_implementation=attention)
    )
    thresholds = torch.from_numpy(workloads.make_thresholds(config))
    for layer in model.model.decoder.layers:
        if config.enable_bias:
            layer.fc1.bias.data = -thresholds
    return model.eval().to(dtype)


def _offload(model: transformers.OPTForCausalLM, device: torch.device) -> None:
    """Leaves the weights on disk, in a folder that lives as long as this process."""
    # Wanted by nobody else, as TransformerLens.
    accelerate = importlib.import_module("accelerate")
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    accelerate.disk_offload(model, folder.name, execution_device=device)


def hooked(model: transformers.OPTForCausalLM) -> Callable[..., None]:
    """The model without its head, as a function that adds a batch's activations to counts."""

    def count(counts: torch.Tensor, output: torch.Tensor) -> None:
        # ReLU comes next; what is positive here is positive after it.
        # An int32 sum is faster than one in the default int64.
        counts += (output > 0).sum(dim=0, dtype=torch.int32)

    def add(batch: torch.Tensor, counts: torch.Tensor) -> None:
        layers = model.model.decoder.layers
        handles = [
            layer.fc1.register_forward_hook(lambda m, i, o, c=c: count(c, o))
            for layer, c in zip(layers, counts, strict=True)
        ]
        model.model(batch, use_cache=False)
        for handle in handles:
            handle.remove()

    return add


def _bridge(model: transformers.OPTForCausalLM) -> Callable[..., None]:
    """The same through TransformerLens, by its own hooks."""
    # Wanted by nobody else, so that this module must do without it.
    builder = importlib.import_module(
        "transformer_lens.model_bridge.sources._bridge_builder"
    )
    bridge = builder.build_bridge_from_module(
        model, "OPTForCausalLM", hf_config=model.config
    )

    def add(batch: torch.Tensor, counts: torch.Tensor) -> None:
        def count(output: torch.Tensor, hook: Any) -> None:
            layer = int(hook.name.split(".")[1])
            active = (output > 0).reshape(-1, output.shape[-1])
            counts[layer] += active.sum(dim=0, dtype=torch.int32)

        names = [f"blocks.{layer}.mlp.in.hook_out" for layer in range(len(counts))]
        hooks = [(name, count) for name in names]
        bridge.run_with_hooks(batch, return_type=None, fwd_hooks=hooks)

    return add
