"""A finished study opened: every neuron is a row, arrays have coordinates, damage is one error."""

import pathlib

import numpy as np
import pandas
import pytest
import xarray

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.studies import results
from tests.support import cases, planted, small_study, studies

WINDOW = 8
# Neuron 0 fires on token 5, neuron 1 on every token, neuron 2 and all others on no input.
LAYER = planted.layer(planted.fires_on(5), planted.constant(1), planted.constant(-1))
MODEL = Config.from_json(planted.MODEL.to_json() | {"num_hidden_layers": 4})
DOCUMENTS = {"wiki": [[4, 5, 6, 5] * 4] * 5, "all": [[5, 6, 7, 8, 9] * 4] * 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished study of layers 1 and 2 of 4."""
    folder = tmp_path_factory.mktemp("results")
    planted.write_store(folder / "store", [LAYER] * 4, MODEL)
    make(folder, folder / "study", layers=(1, 2))
    return folder


def make(folder, path, **chosen):
    sources = [
        (name, planted.write_documents(folder / f"{name}.jsonl", documents))
        for name, documents in DOCUMENTS.items()
    ]
    studies.run_study(path, folder / "store", sources, window=WINDOW, **chosen)


@pytest.fixture(scope="module")
def result(folder):
    return results.open_study(folder / "study")


@pytest.fixture(scope="module")
def neurons(result):
    return result.neurons().set_index(["layer", "neuron"])


def test_every_neuron_of_the_layers_asked_for_is_a_row(neurons):
    places = [(layer, neuron) for layer in (1, 2) for neuron in range(planted.NEURONS)]
    assert list(neurons.index) == places
    assert list(neurons.columns) == [
        "activations",
        "frequency",
        "dead",
        "certified_dead",
        "certified_active",
        *("coverage_1", "coverage_2", "coverage_3"),
        *("detector_1", "detector_2", "detector_3"),
        "mean_trigger_projection",
        "mutual_information",
        "positional_type",
        "positional_strength",
        "domain_entropy",
        "specific",
        "frequency_wiki",
        "frequency_all",
        "specific_wiki",
        "specific_all",
    ]


def test_rows_say_what_was_planted(result, neurons):
    tokens = [domain.tokens for domain in result.corpus]
    fives = 5 * 8, 3 * 4
    token, always, never = (neurons.loc[(2, neuron)] for neuron in (0, 1, 2))
    assert token["activations"] == sum(fives)
    assert token["frequency"] == sum(fives) / sum(tokens)
    assert token["frequency_wiki"] == fives[0] / tokens[0]
    assert token["frequency_all"] == fives[1] / tokens[1]
    assert token["coverage_1"] == token["detector_1"] == 1
    assert token["mean_trigger_projection"] == 0
    assert always["activations"] == sum(tokens) and always["frequency_all"] == 1
    share = token[["frequency_wiki", "frequency_all"]].to_numpy(float)
    share /= share.sum()
    assert token["domain_entropy"] == pytest.approx(-share @ np.log(share))
    assert always["domain_entropy"] == pytest.approx(np.log(2))
    assert np.isnan(never["domain_entropy"])
    assert always["detector_1"] == 0 and np.isnan(always["mean_trigger_projection"])
    flags = neurons.loc[2, ["dead", "certified_dead", "certified_active"]].to_numpy()
    assert flags[:3].tolist() == [[0, 0, 0], [0, 0, 1], [1, 1, 0]]
    assert never["activations"] == never["coverage_1"] == never["detector_3"] == 0


def test_columns_are_those_of_the_arrays_and_findings(result, neurons):
    arrays = result.arrays.sel(layer=[1, 2])
    information = arrays["mutual_information"].isel(domain_or_all=-1)
    specific = arrays["specific"].values
    assert neurons["specific"].tolist() == specific.sum(axis=0).reshape(-1).tolist()
    for name, of_domain in zip(("wiki", "all"), specific, strict=True):
        found = neurons[f"specific_{name}"].astype(int)
        assert found.tolist() == of_domain.reshape(-1).tolist()
    np.testing.assert_array_equal(
        neurons["mutual_information"], information.data.ravel()
    )
    for n in (1, 2, 3):
        coverage = arrays["ngram_coverage"].sel(n=n).data.ravel()
        np.testing.assert_array_equal(neurons[f"coverage_{n}"], coverage)
        found = result.detectors(n)
        assert len(found) == (neurons[f"detector_{n}"] > 0).sum()
        assert found["triggers"].map(len).sum() == neurons[f"detector_{n}"].sum()
    positional = result.positional().set_index(["layer", "neuron"])
    mine = neurons.loc[neurons["positional_type"] != "none"]
    assert list(mine.index) == list(positional.index)
    assert (mine["positional_type"] == positional["type"]).all()
    assert (mine["positional_strength"] == positional["strength"]).all()


def test_neurons_of_a_layer_are_sorted_by_a_column(result):
    rows = result.neurons(layer=2, sort="-frequency_all")
    assert list(rows["neuron"][:2]) == [1, 0] and set(rows["layer"]) == {2}
    rows = result.neurons(sort="activations")
    assert rows["activations"].is_monotonic_increasing and len(rows) == 16
    with pytest.raises(errors.UsageError, match="'colour' is no column to sort by."):
        result.neurons(sort="-colour")
    with pytest.raises(errors.UsageError, match="holds layers 1 to 2, not layer 3."):
        result.neurons(layer=3)


def test_detectors_of_a_token(result):
    table = result.detectors_of("<id 5>", layer=1)
    assert table[["layer", "neuron", "activations"]].to_numpy().tolist() == [
        [1, 0, 5 * 8 + 3 * 4]
    ]
    assert len(result.detectors_of("<id 5>")) == 2 and table["triggers"][0] == 1
    assert result.detectors_of("<id 6>").empty
    with pytest.raises(errors.UsageError, match="' the' is no token of model."):
        result.detectors_of(" the")


def test_flags_say_what_their_values_mean(result):
    array = result.arrays["positional_type"]
    meanings = array.attrs["flag_meanings"].split()
    assert meanings[:2] == ["none", "oscillatory"]
    assert array.attrs["flag_values"] == list(range(len(meanings)))
    assert (array.sel(layer=[0, 3]) == -1).all()


def test_a_study_without_n_grams_says_so(folder, tmp_path):
    make(folder, tmp_path / "study", ngrams=False)
    result = results.open_study(tmp_path / "study")
    neurons = result.neurons()
    assert (neurons[["coverage_2", "detector_2"]] == -1).all(axis=None)
    assert neurons["mean_trigger_projection"].isna().all()
    with pytest.raises(errors.UsageError, match="counted no n-grams. Run"):
        result.detectors(1)
    with pytest.raises(errors.UsageError, match="n is 4. Detectors are of"):
        result.detectors(4)


def test_arrays_are_selected_by_name_and_number(result):
    count = result.arrays["activation_count"]
    assert count.sel(domain="wiki", layer=2, neuron=0) == 5 * 8
    assert count.sel(domain="all", layer=2, neuron=0) == 3 * 4
    assert (count.sel(layer=3) == -1).all()
    # "all" is a domain here.
    assert list(result.arrays["domain_or_all"].data) == ["wiki", "all", "all domains"]
    assert result.arrays["position_count"].sel(position=0, domain="wiki").shape == (
        4,
        8,
    )


def test_arrays_are_those_of_a_plain_reader(folder, result):
    plain = xarray.open_zarr(folder / "study" / "arrays")
    xarray.testing.assert_identical(plain.load(), result.arrays.load())


@cases.each(
    "index",
    [
        {"layer": 2},
        {"layer": [2, 1]},
        {"layer": slice(1, 3), "neuron": slice(None, None, 3)},
        {"layer": []},
        {"domain": 1, "layer": slice(3, None, -1), "position": [1, 5]},
    ],
)
def test_parts_of_an_array_are_those_of_the_whole(result, index):
    array = results.open_study(result.path).arrays["position_count"]
    whole = xarray.DataArray(array.data, array.coords, array.dims)
    lazy = results.open_study(result.path).arrays["position_count"]
    xarray.testing.assert_equal(lazy.isel(index).compute(), whole.isel(index))


def test_what_was_studied_is_typed(folder, result):
    assert result.path == folder / "study"
    assert result.model.name == "model" and result.model.config == MODEL
    assert [domain.name for domain in result.corpus] == ["wiki", "all"]
    assert result.settings.window == WINDOW and result.settings.layers == (1, 2)
    assert result.special_tokens == (1, 2)
    assert result.summary["model"]["neurons"] == planted.NEURONS
    said = repr(result)
    assert "Study of model" in said and "1 to 2 of 4, 8 neurons each" in said


@pytest.mark.fault(case=21)
@cases.each(
    "name, read",
    [
        ("arrays/detector/c.0.2.0", lambda result: result.neurons()),
        ("detectors_1.jsonl", lambda result: result.detectors(1)),
        ("detectors_2.jsonl", lambda result: result.detectors(2)),
        ("positional.jsonl", lambda result: result.positional()),
        ("summary.json", lambda result: result.summary),
        ("arrays/tokens/c.0.0", lambda result: result.arrays["tokens"].data),
        ("arrays/position_count/c.0.2.0.0", lambda result: result.arrays.load()),
    ],
)
@cases.each("change", [pathlib.Path.unlink, lambda file: file.write_bytes(b"{}\n")])
def test_damage_is_one_error(folder, change, name, read):
    path = folder / "study"
    content = (path / name).read_bytes()
    change(path / name)
    with pytest.raises(errors.StudyError) as caught:
        read(results.open_study(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    (path / name).write_bytes(content)


def test_what_is_no_finished_study_is_refused(tmp_path):
    with pytest.raises(errors.StudyError, match="is not a study: it has no study.json"):
        results.open_study(tmp_path)
    small_study.create(tmp_path / "study")
    with pytest.raises(errors.StudyError, match="is not finished. Resume"):
        results.open_study(str(tmp_path / "study"))


@pytest.mark.campaign
def test_tables_without_rows_have_their_columns(folder, tmp_path):
    silent = planted.layer()
    planted.write_store(tmp_path / "store", [silent] * 4, MODEL)
    for name in DOCUMENTS:
        (tmp_path / f"{name}.jsonl").write_bytes(
            (folder / f"{name}.jsonl").read_bytes()
        )
    make(tmp_path, tmp_path / "study")
    result = results.open_study(tmp_path / "study")
    assert result.neurons()["dead"].all()
    for table in (result.detectors(3), result.positional()):
        assert isinstance(table, pandas.DataFrame) and table.empty
        assert {"layer", "neuron"} < set(table.columns)
