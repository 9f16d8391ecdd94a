"""A trained model: every number of its study by brute force, and its masks against transformers (paper §3-5)."""

import numpy as np
import pytest

from convert import opt
from jaxneurons import demo
from tests.support import mask_oracle, studies

# By brute force a neuron takes milliseconds: of each layer so many, at random.
CHOSEN = 48
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def demo_store(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "store"
    opt.convert(demo.directory(demo.RUNNING_TEXT), path)
    return path


@pytest.fixture(scope="module")
def demo_study(demo_store, tmp_path_factory):
    return mask_oracle.run_with_masks(
        tmp_path_factory.mktemp("demo") / "study",
        demo_store,
        demo.sources(demo.RUNNING_TEXT),
        window=128,
        max_tokens=2500,
    )


@pytest.mark.campaign
def test_trained_model_by_brute_force(demo_study):
    record, masks = demo_study
    assert len(record.read("tokens")) > 17
    mask_oracle.assert_counts(record, masks)
    neurons = record.identity.model.config.ffn_dim
    chosen = set(np.random.default_rng(0).choice(neurons, CHOSEN).tolist())
    # Most neurons detect nothing: so that detectors are checked too.
    chosen |= {
        neuron for n in (1, 2, 3) for _, neuron in studies.read_triggers(record, n)
    }
    mask_oracle.assert_ngrams(record, masks, chosen)
    mask_oracle.assert_information(record, masks, chosen)


@pytest.mark.campaign
def test_masks_are_those_of_transformers(demo_study):
    """On the text of the study, wherever the pre-activation is not within rounding of 0."""
    torch = pytest.importorskip("torch")
    import transformers

    record, masks = demo_study
    model = transformers.OPTForCausalLM.from_pretrained(
        demo.directory(demo.RUNNING_TEXT),
        dtype=torch.float32,
        attn_implementation="eager",
    ).eval()
    preactivations = []
    for layer in model.model.decoder.layers:
        layer.fc1.register_forward_hook(
            lambda module, args, output: preactivations.append(output.numpy())
        )
    tokens, lengths = record.read("tokens"), record.read("window_length")
    with torch.no_grad():
        model.model(torch.tensor(tokens).long())
    valid = np.arange(tokens.shape[1]) < lengths[:, None]
    for layer, mask in masks.items():
        expected = preactivations[layer].reshape(mask.shape)
        clear = (np.abs(expected) > TOLERANCE) & valid[:, :, None]
        assert clear.sum() > 0.99 * valid.sum() * mask.shape[2]
        np.testing.assert_array_equal(mask[clear], expected[clear] > 0)


@pytest.mark.campaign
def test_batch_size_changes_no_bit(demo_store, tmp_path):
    one, sixteen = (
        studies.integer_arrays(
            studies.run_study(
                tmp_path / f"study_{windows_per_batch}",
                demo_store,
                demo.sources(demo.RUNNING_TEXT),
                window=64,
                max_tokens=2000,
                windows_per_batch=windows_per_batch,
            )
        )
        for windows_per_batch in (1, 16)
    )
    assert one.keys() >= {"position_count", "ngram_coverage", "candidate_3_ngram"}
    assert one == sixteen
