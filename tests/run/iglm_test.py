"""A trained GPT-2 that nobody here made, the PyPI package iglm: every count against transformers' own activations.

The package is in no extra, since it pulls torch: `pip install --no-deps iglm`. Its licence is non-commercial, so
nothing of it is copied here.
"""

import importlib.util
import pathlib

import numpy as np
import pytest

import jaxneurons
from tests.support import cases, tiny_tokenizers

WINDOWS, WINDOW = 200, 48
# The vocabulary's [HEAVY], with which the model's training data begins, and its 20 amino acids.
START, AMINO_ACIDS = 31, range(5, 25)
# Nearer to 0 than this, rounding may decide whether a neuron is active.
NEAR = 1e-4


def folder_of(size, path):
    """The model's directory as a user makes it: config and weights, and the vocabulary from one folder up."""
    spec = importlib.util.find_spec("iglm")
    if spec is None or spec.origin is None:
        pytest.skip("needs the package iglm")
    models = pathlib.Path(spec.origin).parent / "trained_models"
    path.mkdir()
    for file in ("config.json", "pytorch_model.bin"):
        (path / file).symlink_to(models / size / file)
    (path / "vocab.txt").symlink_to(models / "vocab.txt")
    return path


def preactivations(folder, tokens):
    """float32[layer][B, T, F], of transformers."""
    torch = pytest.importorskip("torch")
    import transformers

    model = transformers.GPT2LMHeadModel.from_pretrained(
        folder, attn_implementation="eager"
    )
    found = []
    for block in model.eval().transformer.h:
        block.mlp.c_fc.register_forward_hook(
            lambda module, given, output: found.append(
                output.detach().numpy().reshape(*tokens.shape, -1)
            )
        )
    with torch.no_grad():
        model(torch.tensor(tokens))
    return found


@pytest.mark.campaign
@cases.each("size", ["IgLM", "IgLM-S"], every_day=["IgLM-S"])
def test_every_count_is_that_of_transformers(size, tmp_path):
    folder = folder_of(size, tmp_path / size)
    pytest.importorskip("torch")
    text = np.random.default_rng(0).choice(AMINO_ACIDS, (WINDOWS, WINDOW - 2))
    path = tiny_tokenizers.token_file(tmp_path / "text.jsonl", *text.tolist())
    with pytest.raises(jaxneurons.errors.UsageError, match="no token"):
        model = jaxneurons.open_model(folder, cache=tmp_path / "cache")
        jaxneurons.load_text(model, {"text": path}, window=WINDOW)
    model = jaxneurons.open_model(
        folder, document_start=START, cache=tmp_path / "cache"
    )
    windows = jaxneurons.load_text(
        model, {"text": path}, window=WINDOW, cache=tmp_path / "cache"
    )
    tokens, lengths = windows.tokens, windows.lengths
    assert len(tokens) == WINDOWS and (tokens[:, 0] == START).all()
    result = jaxneurons.study(
        model, windows, tmp_path / "study", ngrams=False, examples=0, figures=False
    )
    valid = (np.arange(WINDOW) < lengths[:, None])[..., None]
    full = (lengths == WINDOW)[:, None, None]
    arrays = result.arrays
    different = 0
    for layer, found in enumerate(preactivations(folder, tokens.astype(np.int64))):
        least, most = found > NEAR, found > -NEAR
        counts = arrays["activation_count"].values[0, layer]
        assert (counts >= (least & valid).sum((0, 1))).all()
        assert (counts <= (most & valid).sum((0, 1))).all()
        different += (counts != ((found > 0) & valid).sum((0, 1))).sum()
        by_position = arrays["position_count"].values[0, layer]
        assert (by_position >= (least & full).sum(0)).all()
        assert (by_position <= (most & full).sum(0)).all()
    # Rounding alone makes two sums of millions differ in a few.
    neurons = arrays["activation_count"].values.size
    print(f"{size}: {different} of {neurons} neurons' counts differ")
    assert different < neurons / 200
