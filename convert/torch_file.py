"""A torch `.bin` file: its table of contents, and one tensor at a time.

In: a path. Out: NumPy arrays. The file is a pickle, so only torch's weights-only loader reads it. It
maps the file into memory, and is asked anew for each tensor so that pages do not pile up. It never
compares the zip's checksums and maps compressed records as if they were plain, so both are checked
here. Files from before torch 1.6 are not zips and are read whole, if they are small.
"""

import contextlib
import dataclasses
import errno
import pathlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from convert.shard import Tensor
from jaxneurons import errors
from jaxneurons.disk import files

# Older loaders can be made to corrupt memory by a crafted file (CVE-2026-24747).
MIN_TORCH = (2, 10)
# How much memory a file that cannot be mapped, or the storage that a tensor is a part of, may take.
RESIDENT_BYTES = 512 * 2**20
_ZIP_MAGIC = b"PK\x03\x04"
# Everything but tensors: the pickle of a 66b model's shard has 20 kB.
_MAX_RECORD_BYTES = 16 * 2**20


@dataclasses.dataclass(frozen=True)
class TorchFile:
    """An opened file, a `shard.Shard`; made by `open_file`.

    Attributes:
        path: the file.
        tensors: its table of contents.
        checksums: size and CRC-32 of every storage.
        resident: the tensors themselves where the file cannot be mapped, else None.
        resident_bytes: the largest storage of which a tensor may be a part.
    """

    path: pathlib.Path
    tensors: Mapping[str, Tensor]
    checksums: frozenset[tuple[int, int]]
    resident: Mapping[str, Any] | None = dataclasses.field(repr=False)
    resident_bytes: int

    def read(self, key: str) -> np.ndarray:
        """A whole tensor; raises as `shard.Shard.read`."""
        if self.resident is not None:
            return _to_numpy(self.resident[key]).copy()
        tensor = _load(self.path, mmap=True)[key]
        storage = _storage_bytes(tensor)
        if storage.nbytes > max(tensor.nbytes, self.resident_bytes):
            raise errors.CheckpointError(
                f"{self.path}: {key} of {tensor.nbytes} bytes is a part of a storage of "
                f"{storage.nbytes}. Save a copy of each tensor."
            )
        if (storage.nbytes, zlib.crc32(storage)) not in self.checksums:
            raise errors.CheckpointError(
                f"{self.path}: {key} is damaged: checksum mismatch"
            )
        return _to_numpy(tensor).copy()


def open_file(path: pathlib.Path, resident_bytes: int = RESIDENT_BYTES) -> TorchFile:
    """Reads and checks the table of contents.

    Args:
        path: the file.
        resident_bytes: the largest file that is read whole if it cannot be mapped, and the largest
            storage of which a tensor may be a part.

    Raises:
        CheckpointError: torch is missing or too old; the file is truncated or damaged, contains
            anything but tensors by name, or has compressed or repeated records.
        InputOutputError: the operating system refuses.
    """
    with files.translated("read", path):
        with open(path, "rb") as file:
            is_zip = file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC
        file_bytes = path.stat().st_size
    if not is_zip and file_bytes > resident_bytes:
        raise errors.CheckpointError(
            f"{path} has {file_bytes} bytes in the format from before torch 1.6, of which at most "
            f"{resident_bytes} are read. Save it again with a newer torch."
        )
    checksums = _storage_checksums(path, file_bytes) if is_zip else frozenset()
    state = _load(path, mmap=is_zip)
    tensors = _table_of_contents(path, state)
    return TorchFile(
        path, tensors, checksums, None if is_zip else state, resident_bytes
    )


def _storage_checksums(
    path: pathlib.Path, file_bytes: int
) -> frozenset[tuple[int, int]]:
    with _damage_named(path), zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if problems := _record_problems(records, file_bytes):
            raise errors.CheckpointError(
                f"{path}: {'; '.join(problems)}. Save it again with torch.save."
            )
        storages = [record for record in records if _is_storage(record)]
        for record in records:
            if not _is_storage(record):
                # Compares the record's checksum.
                archive.read(record)
        return frozenset((record.file_size, record.CRC) for record in storages)


@contextlib.contextmanager
def _damage_named(path: pathlib.Path) -> Iterator[None]:
    """Turns what Python's reader of zip files raises for damage into CheckpointError."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        ValueError,
        KeyError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
    ) as error:
        # The system calls a place invalid that only a damaged directory can name.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise files.io_error("read", path, error) from error
        raise errors.CheckpointError(
            f"{path}: truncated or damaged torch file: {error}"
        ) from error


def _record_problems(records: Sequence[zipfile.ZipInfo], file_bytes: int) -> list[str]:
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
    if max(others, default=0) > _MAX_RECORD_BYTES:
        problems.append(f"a record beside tensors has {max(others)} bytes")
    if any(name.endswith("/constants.pkl") for name in names):
        problems.append("it is a TorchScript program, not weights")
    return problems


def _is_storage(record: zipfile.ZipInfo) -> bool:
    return record.filename.split("/")[1:-1] == ["data"]


def _table_of_contents(path: pathlib.Path, state: Any) -> dict[str, Tensor]:
    torch = _import_torch()
    if not isinstance(state, dict):
        raise errors.CheckpointError(
            f"{path} contains a {type(state).__name__}: expected tensors by name"
        )
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise errors.CheckpointError(
                f"{path}: {str(key)[:100]!r} is a {type(value).__name__}: expected a tensor. Save "
                "the model's state_dict alone."
            )
        if value.layout != torch.strided or value.device.type != "cpu":
            raise errors.CheckpointError(
                f"{path}: {key} is a tensor of {value.layout} on {value.device}: expected a plain "
                "one in memory"
            )
    return {
        key: Tensor(tuple(value.shape), str(value.dtype).removeprefix("torch."))
        for key, value in state.items()
    }


def _to_numpy(tensor: Any) -> np.ndarray:
    """The tensor's memory as an array of its shape, not copied."""
    torch = _import_torch()
    tensor = tensor.detach().resolve_neg()
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
            "reading .bin weights needs torch: pip install jaxneurons[convert]"
        ) from error
    version = torch.__version__
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_TORCH:
        least = ".".join(map(str, MIN_TORCH))
        raise errors.CheckpointError(
            f"torch {version} is too old: below {least}, a .bin file can be made to corrupt memory "
            f"(CVE-2026-24747). Install torch {least} or newer."
        )
    return torch
