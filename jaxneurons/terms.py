"""What several folders must agree on, each written once."""

# n of the n-grams that a study counts (paper §4).
ORDERS = (1, 2, 3)
# Types and strengths of positional neurons (paper §5.2), in the order of figures and tables.
POSITIONAL_TYPES = ("oscillatory", "both", "one", "other")
STRENGTHS = ("strong", "weak")
# The one file that a tokenizer is normalised to, in stores, studies and training runs.
TOKENIZER_FILE = "tokenizer.json"
