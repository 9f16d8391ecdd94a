"""Findings in words: the numbers of a summary, whatever it lacks."""

import copy

from jaxneurons.analysis import findings
from jaxneurons.figures import captions
from tests.support import summaries

SUMMARY = summaries.summary("125m")


def test_the_table_has_a_row_for_each_layer():
    lines = findings.to_text(SUMMARY).splitlines()
    layers = SUMMARY["activation"]["layers"]
    for line, layer in zip(lines[1:], layers, strict=False):
        index = layer["layer"]
        cells = line.replace(" (", "(").replace(",", "").split()
        detectors = [
            (row["detectors"], row["attested_detectors"])
            for row in (SUMMARY["ngrams"][n]["layers"][index] for n in "123")
        ]
        assert cells[:3] == [
            str(value) for value in (index, layer["dead"], layer["certified_dead"])
        ]
        assert cells[3] == f"{layer['mean_frequency_alive']:.2%}"
        assert cells[4:7] == [f"{all_of}({some})" for all_of, some in detectors]
        assert cells[7] == str(SUMMARY["positions"]["layers"][index]["positional"])
    assert lines[len(layers) + 1] == ""


def test_sentences_hold_the_numbers():
    text = findings.to_text(SUMMARY)
    overall = SUMMARY["suppression"]["overall"]
    shares = [f"{overall[group]['mean_negative']:.0%}" for group in overall]
    assert all(share in text for share in shares)
    assert "at least 20 times in all" in text
    strongest = max(
        SUMMARY["positions"]["examples"], key=lambda one: one["mutual_information"]
    )
    assert f"layer {strongest['layer']} neuron {strongest['neuron']} (" in text


def test_what_is_lacking_is_said():
    lacking = copy.deepcopy(SUMMARY) | {"ngrams": None, "suppression": None}
    lacking["positions"] |= {"positional": 0, "examples": []}
    for layer in lacking["activation"]["layers"]:
        layer["mean_frequency_alive"] = None
    text = findings.to_text(lacking)
    assert "detectors" not in text and text.endswith("No neuron is positional.")


def test_gelu_and_models_that_certify_nothing_are_told():
    section = copy.deepcopy(SUMMARY["activation"])
    section |= {"activation_function": "gelu", "certified_dead": None}
    for layer in section["layers"]:
        layer["certified_dead"] = None
    text = findings.to_text(SUMMARY | {"activation": section})
    assert text.splitlines()[1].split()[2] == "-"
    assert "GELU (gelu)" in text and "No neuron can be certified" in text
    assert "GELU" not in findings.to_text(SUMMARY)
    studies = {"galactica": SUMMARY | {"activation": section}, "opt": SUMMARY}
    assert "galactica: Neurons are GELU (gelu)" in captions.write(studies)
