"""Tiny random Hugging Face models of every variant, in memory or written to a directory.

All sizes differ, so that no two axes can be taken for each other, and everything is random: biases
and norms too, which Hugging Face's own initialisation would leave at 0 and 1. Needs torch.
"""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

SIZES = {
    "vocab_size": 50,
    "hidden_size": 24,
    "ffn_dim": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 20,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "pre_norm": {},
    "350m": {"do_layer_norm_before": False, "word_embed_proj_dim": 10},
    "post_norm": {"do_layer_norm_before": False},
    "narrow_embedding": {"word_embed_proj_dim": 10},
    "wide_embedding": {"word_embed_proj_dim": 30},
    "no_final_norm": {"_remove_final_layer_norm": True},
    "no_bias": {"enable_bias": False},
    "no_affine": {"layer_norm_elementwise_affine": False},
    "gelu": {"activation_function": "gelu"},
    "galactica_30b": {
        "activation_function": "gelu",
        "enable_bias": False,
        "layer_norm_elementwise_affine": False,
    },
    "350m_bare": {
        "do_layer_norm_before": False,
        "word_embed_proj_dim": 10,
        "enable_bias": False,
        "layer_norm_elementwise_affine": False,
    },
    "one_head": {"num_attention_heads": 1},
    "one_layer": {"num_hidden_layers": 1},
    "few_neurons": {"ffn_dim": 8},
}
GPT2_SIZES = {
    "vocab_size": 51,
    "n_embd": 24,
    "n_inner": 40,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 20,
}


def random_model(variant: str = "pre_norm", seed: int = 0, **overrides: Any) -> Any:
    """A float32 `OPTForCausalLM` of a variant, with eager attention, ready to evaluate.

    Args:
        variant: a key of `VARIANTS`.
        seed: of the weights.
        overrides: further attributes of Hugging Face's `Config`.
    """
    pytest.importorskip("torch")
    import transformers

    attributes = SIZES | {"attn_implementation": "eager"} | VARIANTS[variant]
    config = transformers.OPTConfig(**(attributes | overrides))
    return _randomised(transformers.OPTForCausalLM(config).eval(), seed)


def random_gpt2(seed: int = 0, **overrides: Any) -> Any:
    """The same of GPT-2: a `GPT2LMHeadModel`; overrides are attributes of `GPT2Config`."""
    pytest.importorskip("torch")
    import transformers

    attributes = GPT2_SIZES | {"attn_implementation": "eager"}
    config = transformers.GPT2Config(**(attributes | overrides))
    return _randomised(transformers.GPT2LMHeadModel(config).eval(), seed)


def _randomised(model: Any, seed: int) -> Any:
    torch = pytest.importorskip("torch")
    norms = ("norm.weight", "ln_1.weight", "ln_2.weight", "ln_f.weight")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 2:
                parameter.copy_(noise * parameter.shape[1] ** -0.5)
            else:
                parameter.copy_(0.2 * noise + name.endswith(norms))
    return model


def write(
    model: Any,
    directory: pathlib.Path,
    *,
    dtype: str = "float32",
    suffix: str = ".safetensors",
    shards: int = 1,
    prefix: str | None = None,
    embedding: bool = True,
    head: bool = False,
) -> pathlib.Path:
    """Writes config and weights as they are found on the hub; returns the directory.

    Args:
        model: from `random_model` or `random_gpt2`.
        directory: made if need be.
        dtype: "float32", "float16" or "bfloat16", of the weights on disk.
        suffix: ".safetensors" or ".bin".
        shards: number of files; more than one come with an index.
        prefix: of the keys, in place of "model.decoder." or "transformer.".
        embedding, head: whether the tied matrix is stored as the embedding's, the head's or both.
    """
    torch = pytest.importorskip("torch")
    directory.mkdir(parents=True, exist_ok=True)
    is_gpt2 = model.config.model_type == "gpt2"
    own, table = (
        ("transformer.", "wte") if is_gpt2 else ("model.decoder.", "embed_tokens")
    )
    prefix = own if prefix is None else prefix
    attributes = model.config.to_dict() | {"dtype": dtype}
    (directory / "config.json").write_text(json.dumps(attributes))
    state = {
        key.replace(own, prefix): tensor.detach().to(getattr(torch, dtype)).clone()
        for key, tensor in model.state_dict().items()
    }
    if not embedding:
        del state[f"{prefix}{table}.weight"]
    if not head:
        del state["lm_head.weight"]
    write_weights(state, directory, suffix, shards)
    return directory


def write_weights(
    state: dict[str, Any],
    directory: pathlib.Path,
    suffix: str = ".safetensors",
    shards: int = 1,
) -> None:
    """Writes tensors by key into one file, or into several and an index."""
    stem = {".safetensors": "model", ".bin": "pytorch_model"}[suffix]
    if shards == 1:
        _save(state, directory / f"{stem}{suffix}")
        return
    weight_map = {}
    for number, part in enumerate(_split(state, shards), start=1):
        name = f"{stem}-{number:05d}-of-{shards:05d}{suffix}"
        _save(part, directory / name)
        weight_map |= dict.fromkeys(part, name)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (directory / f"{stem}{suffix}.index.json").write_text(json.dumps(index))


def _split(state: dict[str, Any], shards: int) -> Iterator[dict[str, Any]]:
    keys = list(state)
    for shard in range(shards):
        yield {key: state[key] for key in keys[shard::shards]}


def _save(state: dict[str, Any], path: pathlib.Path) -> None:
    if path.suffix == ".bin":
        pytest.importorskip("torch").save(state, path)
    else:
        import safetensors.torch

        safetensors.torch.save_file(state, path, metadata={"format": "pt"})
