"""Whole studies of what could be counted wrongly at its edge, by brute force from their masks."""

import dataclasses

import numpy as np

from jaxneurons import config
from jaxneurons.store import random_model
from tests.support import cases, mask_oracle, planted

SMALL = config.Config(
    vocab_size=30,
    hidden_size=12,
    ffn_dim=13,
    num_hidden_layers=2,
    num_attention_heads=3,
    max_position_embeddings=20,
)
# Model, texts by domain (None: random ones) and settings.
EDGES = {
    "350m": ({"do_layer_norm_before": False, "word_embed_proj_dim": 5}, None, {}),
    "bare_gelu": (
        {
            "enable_bias": False,
            "layer_norm_elementwise_affine": False,
            "activation_function": "gelu",
        },
        None,
        {},
    ),
    "no_positions_one_neuron": ({"positions": "none", "ffn_dim": 1}, None, {}),
    "33_neurons_one_layer_of_two": ({"ffn_dim": 33}, None, {"layers": (1, 1)}),
    "first_layer_alone_in_bfloat16": (
        {"ffn_dim": 65},
        None,
        {"layers": (0, 0), "dtype": "bfloat16"},
    ),
    # BOS and one token: a corpus without bigrams.
    "windows_of_two": ({}, None, {"window": 2, "windows_per_batch": 7}),
    "one_token": ({}, {"only": [[29]]}, {"window": 20}),
    "one_window_of_one_token_more": (
        {},
        {"long": [[0, 29] * 9 + [29]], "one": [[3]], "two": [[0], [29]]},
        {"windows_per_batch": 50},
    ),
}


def random_texts():
    """Two domains over few tokens, the first and the last of the vocabulary among them."""
    rng = np.random.default_rng(1)
    ids = [0, 3, 4, 5, 28, 29]
    lengths = {"first": (90, 1, 40), "second": (33, 2)}
    return {
        name: [rng.choice(ids, size).tolist() for size in sizes]
        for name, sizes in lengths.items()
    }


@cases.each("edge", EDGES, every_day=["windows_of_two"])
def test_edges_by_brute_force(edge, tmp_path):
    variant, texts, chosen = EDGES[edge]
    model = dataclasses.replace(SMALL, **variant)
    sources = [
        (name, planted.write_documents(tmp_path / f"{name}.jsonl", documents))
        for name, documents in (texts or random_texts()).items()
    ]
    stored = random_model.write(tmp_path / "store", model)
    chosen = {"window": 10, "windows_per_batch": 4} | chosen
    record, masks = mask_oracle.run_with_masks(
        tmp_path / "study", stored, sources, **chosen
    )
    assert any(mask.any() for mask in masks.values())
    neurons = range(model.ffn_dim)
    mask_oracle.assert_counts(record, masks)
    mask_oracle.assert_ngrams(record, masks, neurons)
    mask_oracle.assert_information(record, masks, neurons)
