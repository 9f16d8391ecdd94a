"""Transformers' side of `whole_process`, as somebody would write it: a Hugging Face directory and text in, counts out.

It reads the embedded text, tokenizes and cuts it as a study does, and counts at every fc1 how often each neuron is
active, the least that a study of neurons needs.
"""

import gzip
import json
import sys

import numpy as np
import torch
import transformers

from jaxneurons import demo
from jaxneurons.benchmark import peers
from jaxneurons.command import allocator


def main() -> None:
    given = json.loads(sys.argv[1])
    # As good as ours: it keeps freed memory.
    allocator.keep_freed_memory()
    torch.backends.mkldnn.enabled = given["onednn"]
    model = transformers.OPTForCausalLM.from_pretrained(
        given["model"], attn_implementation="sdpa", dtype=getattr(torch, given["dtype"])
    ).eval()
    windows = _windows(given["model"], given["window"], given["max_tokens"])
    config = model.config
    counts = torch.zeros(config.num_hidden_layers, config.ffn_dim, dtype=torch.int64)
    add = peers.hooked(model)
    with torch.inference_mode():
        for batch in torch.from_numpy(windows).split(given["windows_per_batch"]):
            add(batch, counts)
    np.savez(given["out"], counts=counts.numpy())


def _windows(model: str, window: int, most: int) -> np.ndarray:
    """The embedded text as int64[W, T], each window of one domain and with the begin token first."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    begin = transformers.AutoConfig.from_pretrained(model).bos_token_id
    sources = demo.sources(demo.RUNNING_TEXT)
    rows = []
    for _, path in sources:
        wanted, tokens = most // len(sources) // window, []
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                text = json.loads(line)["text"]
                tokens += tokenizer(text, add_special_tokens=False)["input_ids"]
                tokens.append(begin)
                if len(tokens) >= wanted * (window - 1):
                    break
        inner = np.array(tokens[: wanted * (window - 1)]).reshape(-1, window - 1)
        rows.append(np.pad(inner, ((0, 0), (1, 0)), constant_values=begin))
    return np.concatenate(rows)


if __name__ == "__main__":
    main()
