"""Statistics counted while a model runs, and what follows from the counts of one neuron."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
