"""What several folders must agree on, each written once."""

from fractions import Fraction

# n of the n-grams that a study counts (paper §4).
ORDERS = (1, 2, 3)
# Share of a neuron's activations that its coverage accounts for (paper §4.1), and the largest coverage of a
# neuron whose n-grams are kept as candidates.
COVERAGE_SHARE = Fraction(95, 100)
CANDIDATE_COVERAGE = 64
# Types and strengths of positional neurons (paper §5.2), in the order of figures and tables.
POSITIONAL_TYPES = ("oscillatory", "both", "one", "other")
STRENGTHS = ("strong", "weak")
# The one file that a tokenizer is normalised to, in stores, studies and training runs.
TOKENIZER_FILE = "tokenizer.json"
