"""What several folders must agree on, each written once."""

# n of the n-grams that a study counts (paper §4).
ORDERS = (1, 2, 3)
