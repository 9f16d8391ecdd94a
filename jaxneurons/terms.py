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


def about_inactive(activation_function: str) -> str:
    """What "active" and "dead" mean for these neurons beyond the paper's ReLU, in sentences; "" for ReLU."""
    if activation_function == "relu":
        return ""
    return (
        f"Neurons are GELU ({activation_function}): a neuron is active where its pre-activation is above 0, and "
        "elsewhere it still writes up to -0.17 times its output row. To remove a dead neuron therefore changes what "
        "the model computes."
    )


NOT_CERTIFIABLE = (
    "No neuron can be certified: without any bias in LayerNorm and feed-forward network, each input's negative is "
    "an input too, and turns the sign of every pre-activation."
)
