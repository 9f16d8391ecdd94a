"""Statistics that are counted while a model runs, and the statistics of one neuron that follow from its counts."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
