"""jaxneurons: what the FFN neurons of OPT language models do (dead, n-gram, positional), in JAX."""
