"""Hugging Face OPT checkpoints to layer stores."""
