"""A study with the masks that it counted, and every number of it again from these by brute force.

In: a layer store and text. Out: the study and its masks; assertions that fail where a number differs.
"""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxneurons
from jaxneurons.counting import reductions
from jaxneurons.run.models import Model
from jaxneurons.store import reading
from jaxneurons.text import corpus
from tests.support import studies, study_oracle


def keep_masks(windows, positions, neurons):
    """A statistic of one's own: the masks themselves, bool[windows, T, F]."""

    def update(state, activation, batch):
        active = reductions.active(activation)
        return jax.lax.dynamic_update_slice_in_dim(state, active, batch.first_window, 0)

    return reductions.Reduction(
        init=lambda: jnp.zeros((windows, positions, neurons), bool),
        update=update,
        finalize=lambda state: {"masks": np.asarray(state)},
    )


def run_with_masks(path, stored, sources, **chosen):
    """A study, and the masks that the same model has on the same windows: {layer: bool[W, T, F]}."""
    study = studies.run_study(path, stored, sources, **chosen)
    settings = study.identity.settings
    model = Model("model", reading.open_store(stored))
    text = corpus.load_windows(
        sources, model.tokenizer, model.config, settings.window, settings.max_tokens
    )
    windows = len(text.tokens)
    # Empty windows fill the last batch up.
    padded = windows + 8 * settings.windows_per_batch
    found = jaxneurons.count(
        model,
        text,
        keep_masks(padded, settings.window, model.config.ffn_dim),
        layers=(settings.first_layer, settings.last_layer),
        windows_per_batch=settings.windows_per_batch,
        dtype=settings.dtype,
    )
    return study, {layer: result["masks"][:windows] for layer, result in found}


def assert_counts(record, masks):
    """Activations by domain, on special tokens and by position, of every neuron."""
    tokens, lengths = record.read("tokens"), record.read("window_length")
    domains = record.read("window_domain")
    for layer, mask in masks.items():
        shape = (domains.max() + 1, mask.shape[2])
        every, special = np.zeros(shape, int), np.zeros(shape, int)
        position = np.zeros((shape[0], mask.shape[1], shape[1]), int)
        for window, domain in enumerate(domains):
            text = mask[window, : lengths[window]]
            every[domain] += text.sum(axis=0)
            is_special = np.isin(tokens[window, : len(text)], study_oracle.SPECIAL)
            special[domain] += text[is_special].sum(axis=0)
            if len(text) == mask.shape[1]:
                position[domain] += text
        for name, expected in (
            ("activation_count", every),
            ("special_activation_count", special),
            ("position_count", position),
        ):
            np.testing.assert_array_equal(record.read_layer(name, layer), expected)


def assert_information(record, layers, chosen):
    """Mutual information in each domain and over all, from the joint distribution."""
    lengths, domains = record.read("window_length"), record.read("window_domain")
    for layer in layers:
        count = record.read_layer("position_count", layer).astype(int)
        full = np.bincount(domains[lengths == count.shape[1]], minlength=len(count))
        counts = np.concatenate([count, count.sum(axis=0, keepdims=True)])
        information = record.read_layer("mutual_information", layer)
        for row, windows in enumerate([*full.tolist(), int(full.sum())]):
            for neuron in chosen:
                found = information[row, neuron]
                if windows < 2:
                    assert np.isnan(found)
                    continue
                column = counts[row, :, neuron].tolist()
                expected = study_oracle.mutual_information(column, windows)
                assert found == pytest.approx(expected, abs=1e-12)


def assert_ngrams(record, masks, chosen):
    """Coverage, activations, candidates and detectors, a dictionary for each neuron."""
    tokens, lengths = record.read("tokens"), record.read("window_length")
    for n in (1, 2, 3):
        occurring = study_oracle.find_ngrams(tokens, lengths, n)
        occurrences = collections.Counter(occurring.ngrams)
        candidates = studies.read_candidates(record, n)
        detectors = studies.read_triggers(record, n)
        for layer, mask in masks.items():
            coverage = record.read_layer("ngram_coverage", layer)[n - 1]
            total = record.read_layer("ngram_activation_count", layer)[n - 1]
            for neuron in chosen:
                activations = occurring.activations(mask[:, :, neuron])
                covering = study_oracle.covering(activations)
                assert coverage[neuron] == covering
                assert total[neuron] == activations.total()
                expected = {
                    ngram: (count, occurrences[ngram])
                    for ngram, count in activations.items()
                    if 0 < covering <= 64
                }
                assert candidates[layer, neuron] == expected
                triggers = study_oracle.triggers(occurrences, activations)
                assert detectors.get((layer, neuron), {}) == triggers
