"""What neurons promote and suppress in whole studies, against Hugging Face's weights multiplied in float64."""

import numpy as np
import pytest

from convert import opt
from jaxneurons import demo, errors
from jaxneurons.analysis import analyze, promoted
from jaxneurons.store import format, reading, writing
from jaxneurons.studies import opening
from tests.support import cases, planted, studies, tiny_models


def exact_projections(model, real):
    """For each layer float64[F, V], from the weights alone."""
    decoder = model.model.decoder
    unembedding = model.lm_head.weight.detach().double()[:real]
    if decoder.project_out is not None:
        unembedding = unembedding @ decoder.project_out.weight.detach().double()
    return [
        (unembedding @ layer.fc2.weight.detach().double()).T.numpy()
        for layer in decoder.layers
    ]


def assert_projections(study, exact):
    """The arrays hold the ends of the exact projections; where two are nearly equal, either token."""
    for layer, projections in enumerate(exact):
        for end, sign in (("promoted", -1), ("suppressed", 1)):
            token = study.read_layer(f"{end}_token", layer)
            value = study.read_layer(f"{end}_projection", layer)
            own = np.take_along_axis(projections, token, axis=1)
            np.testing.assert_allclose(value, own, rtol=1e-5, atol=1e-6)
            ends = sign * np.sort(sign * projections, axis=1)[:, : promoted.RANKS]
            np.testing.assert_allclose(own, ends, rtol=1e-5, atol=1e-6)
            assert all(len(set(row)) == len(row) for row in token.tolist())


def run_study(tmp_path, hf, **chosen):
    store = tmp_path / "store"
    opt.convert(hf, store)
    source = planted.write_documents(tmp_path / "text.jsonl", [[4, 5, 49] * 9])
    sources = [("text", source)]
    return studies.run_study(
        tmp_path / "study",
        store,
        sources,
        window=8,
        ngrams=False,
        examples=0,
        **chosen,
    )


@cases.each("variant", ["350m", "wide_embedding"], every_day=["350m"])
def test_projections_of_every_neuron_of_a_variant(variant, tmp_path):
    model = tiny_models.random_model(variant)
    study = run_study(tmp_path, tiny_models.write(model, tmp_path / "hf"))
    # Token 49 is in the text, so that all 50 mean something.
    assert_projections(study, exact_projections(model, 50))


@pytest.mark.campaign
def test_projections_of_the_embedded_model(tmp_path):
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    hf = demo.directory(demo.RUNNING_TEXT)
    model = transformers.AutoModelForCausalLM.from_pretrained(hf)
    study = run_study(tmp_path, hf)
    real = len(transformers.AutoTokenizer.from_pretrained(hf))
    assert_projections(study, exact_projections(model, real))


@pytest.mark.campaign
def test_they_are_left_out_and_added_later(tmp_path):
    model = tiny_models.random_model()
    hf = tiny_models.write(model, tmp_path / "hf")
    study = run_study(tmp_path, hf, suppression=False, layers=(1, 2))
    assert not promoted.is_written(study)
    store = reading.open_store(tmp_path / "store")
    analyze.analyze_again(study, store, analyze.Thresholds(), None)
    study = opening.open_finished(study.path)
    # Layer 0 was not asked for.
    assert (study.read_layer("promoted_token", 0) == -1).all()
    assert np.isnan(study.read_layer("suppressed_projection", 0)).all()
    exact = exact_projections(model, 50)
    token = study.read_layer("suppressed_token", 2)
    np.testing.assert_array_equal(token[:, 0], exact[2].argmin(axis=1))


def test_weights_that_are_not_finite_are_named(tmp_path):
    rng = np.random.default_rng(0)
    with writing.Writer(tmp_path / "store", planted.MODEL) as writer:
        for name, shape in format.array_shapes(planted.MODEL).items():
            array = rng.normal(0, 0.1, shape).astype(np.float32)
            if name == "layers/002/feed_forward/fc2/kernel":
                # Neuron 5 is never active, so that the model's outputs are finite.
                array[5, 3] = 1e38
            if name.endswith("token_embedding"):
                array *= 1e3
            if name.endswith("fc1/bias"):
                array[5] = -1e6
            writer.write(name, array)
        writer.publish({})
    source = planted.write_documents(tmp_path / "text.jsonl", [[4, 5, 6] * 9])
    with pytest.raises(errors.StoreError, match="in layer 2 what neuron 5 writes"):
        studies.run_study(
            tmp_path / "study",
            tmp_path / "store",
            [("text", source)],
            ngrams=False,
            examples=0,
        )
