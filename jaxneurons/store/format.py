"""What a layer store holds and what its manifest must say: what writing and reading share.

STORE/manifest.json             format version, config, per array its shape, type and digests
STORE/layers/007/<parameter>    zarr3, chunks of up to 64 MiB of rows, codecs bytes + crc32c
STORE/embed/<parameter>
STORE/tokenizer/tokenizer.json  of the `tokenizers` library; absent where the model has none
"""

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.disk import arrays, manifest
from jaxneurons.model import block, embed

FORMAT = manifest.Format(
    "jaxneurons-layer-store", 3, errors.StoreError, "convert the model again"
)
DTYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
}
MANIFEST = "manifest.json"
TOKENIZER = "tokenizer/tokenizer.json"
_CHUNK_BYTES = 64 * 2**20
_KEYS = {"config", "arrays", "tokenizer", "source"}
_ARRAY_KEYS = {"shape", "dtype", "digest", "metadata_digest"}


def layer_name(layer: int) -> str:
    """The folder of a layer."""
    return f"layers/{layer:03d}"


def array_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Names of all arrays of a model's store, and their shapes."""
    layer_shapes = block.parameter_shapes(config)
    shapes = {
        f"embed/{path}": shape for path, shape in embed.parameter_shapes(config).items()
    }
    for layer in range(config.num_hidden_layers):
        for path, shape in layer_shapes.items():
            shapes[f"{layer_name(layer)}/{path}"] = shape
    return shapes


def array_metadata(shape: tuple[int, ...], dtype: str) -> dict[str, Any]:
    """The zarr3 metadata of an array: chunks are whole rows."""
    row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * DTYPES[dtype].itemsize
    rows = min(shape[0], max(1, _CHUNK_BYTES // row_bytes))
    return arrays.metadata(shape, dtype, (rows, *shape[1:]))


def check_manifest(entries: Mapping[str, Any], where: str) -> Config:
    """Raises StoreError unless entries are a manifest's; gives the config that they hold."""
    manifest.check_keys(FORMAT, entries, _KEYS, where)
    try:
        config = Config.from_json(entries["config"])
    except errors.ConfigError as error:
        raise errors.StoreError(f"{where}: {error}") from error
    _check_arrays(entries["arrays"], config, where)
    if not isinstance(entries["source"], dict):
        raise errors.StoreError(f"{where}: source is not an object")
    if not isinstance(entries["tokenizer"], str | None):
        raise errors.StoreError(f"{where}: tokenizer is not a digest")
    return config


def _check_arrays(listed: Any, config: Config, where: str) -> None:
    # The number of layers is not trusted until as many are listed.
    if not isinstance(listed, dict) or config.num_hidden_layers > len(listed):
        raise errors.StoreError(f"{where}: it does not list the model's arrays")
    shapes = array_shapes(config)
    manifest.check_keys(FORMAT, listed, set(shapes), f"{where}: arrays")
    for name, shape in shapes.items():
        entry = listed[name]
        manifest.check_keys(FORMAT, entry, _ARRAY_KEYS, f"{where}: {name}")
        if entry["shape"] != list(shape) or entry["dtype"] not in list(DTYPES):
            raise errors.StoreError(
                f"{where}: {name} is {entry['dtype']!r:.80}{entry['shape']!r:.80}, "
                f"wanted {list(shape)} of one of {list(DTYPES)}"
            )
