"""What a layer store holds and what its manifest must say: what writing and reading share.

STORE/manifest.json             format version, config, per array its shape, type and digests
STORE/layers/007/<parameter>    zarr3, chunks of up to 64 MiB of rows, codecs bytes + crc32c
STORE/embed/<parameter>
STORE/tokenizer/tokenizer.json  of the `tokenizers` library; absent where the model has none
"""

from typing import Any

import ml_dtypes
import numpy as np

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.disk import arrays, files, manifest
from jaxneurons.model import block, embed
from jaxneurons.terms import TOKENIZER_FILE

FORMAT = manifest.Format(
    "jaxneurons-layer-store", 4, errors.StoreError, "convert the model again"
)
DTYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
}
MANIFEST = "manifest.json"
TOKENIZER = f"tokenizer/{TOKENIZER_FILE}"
_CHUNK_BYTES = 64 * 2**20


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


def check_name(name: str, where: str) -> None:
    """Raises StoreError for the name of an array that could mean one outside the store."""
    if not all(files.is_plain_name(part) for part in name.split("/")):
        raise errors.StoreError(f"{where}: {name!r:.80} leads out of the store")
