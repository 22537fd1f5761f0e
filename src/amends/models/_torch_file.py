"""Reads tensors out of a PyTorch checkpoint without PyTorch and without trusting its pickle.

Only the format before 1.6 is read, since that is the one file we have. It is five pickles and then raw numbers:

    magic number · protocol version · system info · {name: tensor} · [storage keys] · for each key: count, values

A pickle can call anything it can name. This one may name three things: OrderedDict, the storage types and the function
that makes a tensor of a storage; all three are replaced by our own, so nothing of it runs.
"""

from __future__ import annotations

import pickle  # nosec B403
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

__all__ = ["read_tensors"]

Array = npt.NDArray[Any]

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _StorageType:
    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


_ALLOWED: dict[tuple[str, str], Callable[..., Any] | _StorageType] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "FloatStorage"): _StorageType("<f4"),
    ("torch", "LongStorage"): _StorageType("<i8"),
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"a checkpoint may not name {module}.{name}") from None

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", _StorageType() as kind, str(key), "cpu", int(count), None):
                return _Storage(key, kind.dtype, count)
        raise pickle.UnpicklingError(f"unknown persistent id {pid!r}")


def read_tensors(path: Path) -> dict[str, Array]:
    """Return the checkpoint's arrays by name, in C order, in the order of the file.

    Raises pickle.UnpicklingError for a file that names anything but tensors, ValueError for another or a cut-off format.
    """
    with path.open("rb") as file:
        if _next_pickle(file) != _MAGIC or _next_pickle(file) != _PROTOCOL:
            raise ValueError(f"{path.name} is not a PyTorch checkpoint of the format before 1.6")
        _next_pickle(file)
        tensors: dict[str, _Tensor] = _next_pickle(file)
        keys: list[str] = _next_pickle(file)
        dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
        storages = {key: _read_storage(file, dtypes[key]) for key in keys}
    return {name: _array(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _next_pickle(file: BinaryIO) -> Any:
    return _Unpickler(file).load()


def _read_storage(file: BinaryIO, dtype: np.dtype[Any]) -> Array:
    count = int.from_bytes(file.read(8), "little")
    data = file.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise ValueError("the checkpoint ends in the middle of its numbers")
    return np.frombuffer(data, dtype)


def _array(tensor: _Tensor, storage: Array) -> Array:
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if last >= storage.size or min((tensor.offset, *tensor.strides)) < 0:
        raise ValueError("a tensor of the checkpoint reaches beyond its storage")
    byte_strides = [step * storage.itemsize for step in tensor.strides]
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, byte_strides, writeable=False)
    return np.ascontiguousarray(view)
