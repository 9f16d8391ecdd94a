"""Studies of models that are not OPT: where a document begins, and what is said of GELU and of what none can prove."""

import dataclasses

import numpy as np
import pytest

import jaxneurons
from jaxneurons import errors
from jaxneurons.analysis import analyze, findings
from jaxneurons.figures import captions
from jaxneurons.store import random_model, reading
from jaxneurons.studies import opening
from tests.support import tiny_tokenizers

NAMELESS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
GPT2 = tiny_tokenizers.tiny_config(
    activation_function="gelu_new",
    position_offset=0,
    document_start_token_id=None,
    **NAMELESS,
)
# Without any bias, as galactica-30b.
GALACTICA = tiny_tokenizers.tiny_config(
    activation_function="gelu",
    bos_token_id=0,
    enable_bias=False,
    layer_norm_elementwise_affine=False,
)


def study(config, folder, document_start=None):
    random_model.write(folder / "store", config)
    documents = np.random.default_rng(0).integers(10, 60, (20, 30)).tolist()
    path = tiny_tokenizers.token_file(folder / "text.jsonl", *documents)
    cache = folder / "cache"
    model = jaxneurons.open_model(
        folder / "store", document_start=document_start, cache=cache
    )
    text = jaxneurons.load_text(model, {"text": path}, window=16, cache=cache)
    return jaxneurons.study(model, text, folder / "study", examples=2, figures=False)


def test_a_model_that_names_no_document_start_is_told_one(tmp_path):
    with pytest.raises(errors.UsageError, match="no token .* begins a document"):
        study(GPT2, tmp_path / "without")
    for token in (-1, GPT2.vocab_size):
        with pytest.raises(errors.UsageError, match=f"no token {token} "):
            jaxneurons.open_model(tmp_path / "without/store", document_start=token)
    result = study(GPT2, tmp_path / "with", document_start=7)
    assert result.special_tokens == (7,)
    tokens = result.arrays["tokens"].values
    assert (tokens[:, 0] == 7).all() and (tokens[:, 1:] == 7).sum() == 19
    assert "GELU (gelu_new)" in findings.to_text(result.summary)
    assert "gelu_new: where not active, it still writes" in str(result.neuron(0, 0))
    assert "Neurons are GELU" in captions.write({"gpt2": result.summary})
    # Which token begins a document is the study's: the store is the same model without it.
    store = reading.open_store(tmp_path / "with" / "store")
    finished = opening.open_finished(result.path)
    analyze.analyze_again(finished, store, analyze.Thresholds(), str(tmp_path / "out"))


def test_a_model_without_biases_certifies_no_neuron_and_says_so(tmp_path):
    result = study(GALACTICA, tmp_path)
    assert result.special_tokens == (0, 1, 2)
    assert (result.arrays["tokens"].values[:, 0] == 2).all()
    section = result.summary["activation"]
    assert section["certified_dead"] is None
    assert section["layers"][0]["certified_always_active_share"] is None
    assert "No neuron can be certified" in findings.to_text(result.summary)
    assert "certifies no neuron" in str(result.neuron(0, 0))
    biased = dataclasses.replace(GALACTICA, enable_bias=True)
    assert biased.can_certify and not GALACTICA.can_certify
