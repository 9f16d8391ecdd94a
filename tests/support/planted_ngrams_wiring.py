"""The neurons that a planted study must find, near misses among them, and the text in which they are told apart.

In: nothing. Out: the wiring of three layers for `planted_ngrams`, what it makes detectors of tokens, and
documents by domain with every n-gram as often as a share of 94 or 95 % takes.
"""

import numpy as np

from tests.support import planted_ngrams
from tests.support.planted_ngrams import Neuron, constant, ngram, tokens

FILLER, X, P, Q = 3, 4, 5, 6
# Names for token ids, so that the wiring can be read.
ONE, SET, BIGRAM, TRIGRAM = 10, (11, 12, 13), (14, 15), (16, 17, 18)
RARELY_MISSED, BARELY_FOUND, SPILLED, BARELY_SPILLED = 20, 21, 22, 24
SIX, LATE, PAIRS, MISSED_PAIR = range(30, 36), 40, ((41, 42), (41, 43)), (44, 45)
SPILL = 26
NEVER_READ = 50

LAYERS = [
    [
        tokens(ONE)._replace(output={ONE: -0.02}),
        tokens(*SET)._replace(output={SET[0]: -0.03, SET[1]: 0.01}),
        ngram(*BIGRAM),
        ngram(*TRIGRAM),
        # On its token unless X is before it.
        Neuron({(0, RARELY_MISSED): 1, (1, X): -1}),
        Neuron({(0, BARELY_FOUND): 1, (1, X): -1}),
        # On its token, and on SPILL after P or Q.
        Neuron({(0, SPILLED): 1, (0, SPILL): 0.5, (1, P): 0.5}, 0.75),
        Neuron({(0, BARELY_SPILLED): 1, (0, SPILL): 0.5, (1, Q): 0.5}, 0.75),
        tokens(*SIX),
        tokens(NEVER_READ),
        constant(True),
        # On its pair unless X is before that.
        Neuron({(0, MISSED_PAIR[1]): 1, (1, MISSED_PAIR[0]): 1, (2, X): -1}, 1.5),
        tokens(2),
    ],
    [
        tokens(ONE)._replace(output={ONE: 0.02}),
        tokens(LATE)._replace(output={LATE: -0.01}),
        ngram(*BIGRAM),
        Neuron({(1, 41): 1, (0, 42): 1, (0, 43): 1}, 1.5),
    ],
    [
        tokens(ONE),
        tokens(*SET[:2]),
        ngram(*PAIRS[0]),
        ngram(*TRIGRAM),
        # Three places, the one in the middle free.
        Neuron({(2, TRIGRAM[0]): 1, (0, TRIGRAM[2]): 1}, 1.5),
    ],
]
# By layer and neuron: the triggers that the wiring means; all others are no token detectors.
TOKEN_DETECTORS = {
    (0, 0): {ONE},
    (0, 1): set(SET),
    (0, 5): {BARELY_FOUND},
    (0, 7): {BARELY_SPILLED},
    (1, 0): {ONE},
    (1, 1): {LATE},
    (2, 0): {ONE},
    (2, 1): set(SET[:2]),
}
# Each n-gram with how often it occurs; in the arranged domains no window ends inside one.
ARRANGED = [
    (94, (RARELY_MISSED,)),
    (6, (X, RARELY_MISSED)),
    (95, (BARELY_FOUND,)),
    (5, (X, BARELY_FOUND)),
    (94, (SPILLED,)),
    (6, (P, SPILL)),
    (95, (BARELY_SPILLED,)),
    (5, (Q, SPILL)),
    (20, (SPILL,)),
    (94, (FILLER, *MISSED_PAIR)),
    (6, (X, *MISSED_PAIR)),
    *((20, (token,)) for token in SIX),
]
# What the third domain is made of: n-grams that are wired, and parts of them alone.
ANYWHERE = [
    (ONE,),
    *((token,) for token in SET),
    (LATE,),
    BIGRAM,
    BIGRAM[1:],
    *PAIRS,
    PAIRS[0][1:],
    TRIGRAM,
    TRIGRAM[1:],
    (TRIGRAM[0], 19, TRIGRAM[2]),
    # The last of the vocabulary, so that it has more than the 50 lowest projections.
    (planted_ngrams.VOCABULARY - 1,),
]


def documents() -> dict[str, list[list[int]]]:
    """Three domains: two share what is arranged, one is cut wherever a window ends."""
    rng = np.random.default_rng(0)
    phrases = [phrase for count, phrase in ARRANGED for _ in range(count)]
    phrases = [phrases[place] for place in rng.permutation(len(phrases))]
    chosen = rng.integers(len(ANYWHERE), size=600)
    text = [token for place in chosen for token in ANYWHERE[place]]
    return {
        "arranged": planted_ngrams.lay_out(phrases[::2], FILLER),
        "anywhere": [text[:500], text[500:501], text[501:]],
        "more": planted_ngrams.lay_out(phrases[1::2], FILLER),
    }
