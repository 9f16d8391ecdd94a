"""A torch `.bin` file: its table of contents, and one tensor at a time.

In: a path. Out: NumPy arrays. The file is a pickle, so torch's weights-only loader alone reads it;
it maps the file into memory, and is asked anew for each tensor so that pages do not pile up. Since
it never compares the zip's checksums and maps compressed records as if they were plain, both are
checked here. Files from before torch 1.6 are no zip and are read whole, if small.
"""

import dataclasses
import pathlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from jaxneurons import errors
from jaxneurons.disk import files

# Older loaders can be made to corrupt memory by a crafted file (CVE-2026-24747).
MIN_TORCH = (2, 10)
ZIP_MAGIC = b"PK\x03\x04"
# What a file that cannot be mapped, or a tensor that views a larger storage, may take of memory.
RESIDENT_BYTES = 512 * 2**20
# Everything but tensors: the pickle of a 66b model's shard has 20 kB.
MAX_RECORD_BYTES = 16 * 2**20


class Tensor(NamedTuple):
    """An entry of the table of contents."""

    shape: tuple[int, ...]
    dtype: np.dtype


@dataclasses.dataclass(frozen=True)
class TorchFile:
    """A file that has been checked; made by `open_file`.

    Attributes:
        path: the file.
        tensors: its table of contents.
        checksums: size and CRC-32 of every storage.
        resident: the tensors themselves where the file cannot be mapped, else None.
    """

    path: pathlib.Path
    tensors: Mapping[str, Tensor]
    checksums: frozenset[tuple[int, int]]
    resident: Mapping[str, Any] | None = dataclasses.field(repr=False)

    def pieces(self, key: str, piece_size: int) -> Iterator[np.ndarray]:
        """A tensor's elements in order, flat, in arrays of `piece_size`; the last may be smaller.

        Raises:
            CheckpointError: the tensor's data is damaged.
            InputOutputError: the operating system refuses.
        """
        # A copy only where the elements are not in order.
        flat = self._view(key).reshape(-1)
        for begin in range(0, flat.size, piece_size):
            yield flat[begin : begin + piece_size]

    def read(self, key: str) -> np.ndarray:
        """A whole tensor, in its shape; raises as `pieces`."""
        return self._view(key).copy()

    def _view(self, key: str) -> np.ndarray:
        if self.resident is not None:
            return _to_numpy(self.resident[key])
        tensor = _load(self.path, mmap=True)[key]
        data = _storage_bytes(tensor)
        if data.nbytes > max(tensor.nbytes, RESIDENT_BYTES):
            raise errors.CheckpointError(
                f"{self.path}: {key} of {tensor.nbytes} bytes views a storage of "
                f"{data.nbytes}: save a copy of each tensor"
            )
        if (data.nbytes, zlib.crc32(data)) not in self.checksums:
            raise errors.CheckpointError(
                f"{self.path}: {key} is damaged: checksum mismatch"
            )
        return _to_numpy(tensor)


def open_file(path: pathlib.Path) -> TorchFile:
    """Reads and checks the table of contents.

    Raises:
        CheckpointError: torch is missing or too old; the file is truncated or damaged, holds
            anything but tensors by name, or has compressed or repeated records.
        InputOutputError: the operating system refuses.
    """
    with files.translated("read", path):
        with open(path, "rb") as file:
            is_zip = file.read(len(ZIP_MAGIC)) == ZIP_MAGIC
        file_bytes = path.stat().st_size
    if not is_zip and file_bytes > RESIDENT_BYTES:
        raise errors.CheckpointError(
            f"{path}: a torch file from before version 1.6 of {file_bytes} bytes cannot be "
            f"mapped, at most {RESIDENT_BYTES} are read whole: save it again with a newer torch"
        )
    checksums = _storage_checksums(path, file_bytes) if is_zip else frozenset()
    state = _load(path, mmap=is_zip)
    tensors = _table_of_contents(path, state)
    return TorchFile(path, tensors, checksums, None if is_zip else state)


def _storage_checksums(
    path: pathlib.Path, file_bytes: int
) -> frozenset[tuple[int, int]]:
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            _check_records(path, records, file_bytes)
            storages = [record for record in records if _is_storage(record)]
            for record in records:
                if not _is_storage(record):
                    # Compares the record's checksum.
                    archive.read(record)
    except files.ZIP_DAMAGE as error:
        raise _damaged(path, error) from error
    except OSError as error:
        if files.is_damaged_zip(error):
            raise _damaged(path, error) from error
        raise files.io_error("read", path, error) from error
    return frozenset((record.file_size, record.CRC) for record in storages)


def _damaged(path: pathlib.Path, error: Exception) -> errors.CheckpointError:
    return errors.CheckpointError(f"{path}: truncated or damaged torch file: {error}")


def _check_records(
    path: pathlib.Path, records: list[zipfile.ZipInfo], file_bytes: int
) -> None:
    names = [record.filename for record in records]
    problems = []
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        problems.append("compressed records cannot be memory-mapped")
    if any(record.flag_bits & 1 for record in records):
        problems.append("it is encrypted")
    if len(set(names)) < len(names):
        problems.append("a record name appears twice")
    if sum(record.file_size for record in records) > file_bytes:
        problems.append("its records are larger than the file")
    others = [record.file_size for record in records if not _is_storage(record)]
    if max(others, default=0) > MAX_RECORD_BYTES:
        problems.append(f"a record beside tensors has {max(others)} bytes")
    if any(name.endswith("/constants.pkl") for name in names):
        problems.append("it is a TorchScript program, wanted weights")
    if problems:
        raise errors.CheckpointError(
            f"{path}: {'; '.join(problems)}: save it again with torch.save"
        )


def _is_storage(record: zipfile.ZipInfo) -> bool:
    return record.filename.split("/")[1:-1] == ["data"]


def _table_of_contents(path: pathlib.Path, state: Any) -> dict[str, Tensor]:
    torch = _import_torch()
    if not isinstance(state, dict):
        kind = type(state).__name__
        raise errors.CheckpointError(f"{path}: holds a {kind}, wanted tensors by name")
    tensors = {}
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise errors.CheckpointError(
                f"{path}: {str(key)[:100]!r} is a {type(value).__name__}, wanted a tensor"
            )
        dtype = _numpy_dtype(torch, value)
        plain = value.layout == torch.strided and value.device.type == "cpu"
        if dtype is None or not plain or value.is_neg():
            raise errors.CheckpointError(
                f"{path}: {key} is a {value.dtype} tensor of {value.layout} on "
                f"{value.device}, wanted a plain one of numbers"
            )
        tensors[key] = Tensor(tuple(value.shape), dtype)
    return tensors


def _numpy_dtype(torch: Any, tensor: Any) -> np.dtype | None:
    if tensor.dtype == torch.bfloat16:
        return np.dtype(ml_dtypes.bfloat16)
    name = str(tensor.dtype).removeprefix("torch.")
    return np.dtype(name) if name in np.sctypeDict else None


def _to_numpy(tensor: Any) -> np.ndarray:
    """The tensor's memory as an array of its shape, not copied."""
    torch = _import_torch()
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        # NumPy's own types lack bfloat16; ml_dtypes' has the same bits.
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def _storage_bytes(tensor: Any) -> np.ndarray:
    torch = _import_torch()
    return torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage()).numpy()


def _load(path: pathlib.Path, mmap: bool) -> Any:
    torch = _import_torch()
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except OSError as error:
        raise files.io_error("read", path, error) from error
    except Exception as error:
        # Whatever a damaged or malicious pickle makes the loader raise.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise errors.CheckpointError(
            f"{path}: refused by torch's weights-only loader: {reason}"
        ) from error


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise errors.CheckpointError(
            "a .bin checkpoint needs torch: pip install jaxneurons[convert]"
        ) from error
    version = torch.__version__
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_TORCH:
        wanted = ".".join(map(str, MIN_TORCH))
        raise errors.CheckpointError(
            f"torch is {version}, wanted at least {wanted}: older loaders of .bin files can be "
            "made to corrupt memory (CVE-2026-24747)"
        )
    return torch
