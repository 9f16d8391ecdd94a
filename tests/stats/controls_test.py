"""Random neurons and tokens: who may be drawn, and how near in frequency."""

import numpy as np

from jaxneurons.stats import controls


def test_neurons_are_alive_distinct_and_no_detectors():
    alive = np.array([True, True, False, True, True, True])
    for seed in range(20):
        generator = np.random.default_rng(seed)
        drawn = controls.random_neurons(alive, np.array([0, 3]), generator)
        assert len(drawn) == len(set(drawn.tolist())) == 2
        assert set(drawn.tolist()) <= {1, 4, 5}


def test_all_other_neurons_are_taken_where_there_are_too_few():
    alive = np.array([True, True, True, False])
    generator = np.random.default_rng(0)
    drawn = controls.random_neurons(alive, np.array([0, 1]), generator)
    assert drawn.tolist() == [2]


def test_tokens_are_near_in_frequency_distinct_and_no_triggers():
    occurrences = np.random.default_rng(0).permutation(1000) + 1
    triggers = [np.array([5, 6, 7]), np.array([8])]
    for seed in range(20):
        drawn = controls.random_tokens(
            triggers, occurrences, np.random.default_rng(seed)
        )
        assert [len(tokens) for tokens in drawn] == [3, 1]
        for own, tokens in zip(triggers, drawn, strict=True):
            assert len({*own, *tokens}) == 2 * len(own)
            gap = np.abs(occurrences[own] - occurrences[tokens])
            assert gap.max() <= controls.NEAREST


def test_among_equally_frequent_tokens_all_are_as_likely():
    occurrences = np.full(400, 7)
    drawn = [
        controls.random_tokens(
            [np.array([0])], occurrences, np.random.default_rng(seed)
        )[0][0]
        for seed in range(400)
    ]
    # Uniform draws of 400 from 399 hit 252 of them on average, with a deviation of 6.
    assert len(set(drawn)) > 220


def test_tokens_that_do_not_occur_are_not_drawn():
    occurrences = np.array([0, 0, 5, 0, 3, 0])
    (drawn,) = controls.random_tokens(
        [np.array([4])], occurrences, np.random.default_rng(0)
    )
    assert drawn.tolist() == [2]


def test_a_corpus_of_triggers_only_has_no_tokens_to_draw():
    occurrences = np.array([4, 4, 4])
    generator = np.random.default_rng(0)
    (drawn,) = controls.random_tokens([np.arange(3)], occurrences, generator)
    assert not len(drawn)


def test_the_search_widens_until_it_finds_a_token_that_is_free():
    occurrences = np.arange(1, 101)
    triggers = np.arange(98)
    drawn = controls.random_tokens([triggers], occurrences, np.random.default_rng(0))
    assert sorted(drawn[0]) == [98, 99]
