"""What the feed-forward neurons of language models do: dead, n-gram and positional neurons, in JAX.

    model = jaxneurons.open_model("facebook/opt-125m")
    text = jaxneurons.load_text(model, {"wiki": "wiki.jsonl.gz"}, max_tokens=1_000_000)
    result = jaxneurons.study(model, text, "studies/opt-125m")
    result.neurons()

Nothing heavy is loaded until it is used. `__init__.pyi` lists what there is.
"""

import importlib.metadata

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
try:
    __version__ = importlib.metadata.version(__name__)
except importlib.metadata.PackageNotFoundError:
    # Run from a checkout that was not installed.
    __version__ = "0+unknown"
