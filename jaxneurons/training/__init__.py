"""OPT models trained from scratch: text in, checkpoints out, by the recipe of Zhang et al. 2022 (arXiv:2205.01068, §2.2)."""
