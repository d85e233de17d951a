"""A reader for pickled lists of arrays that builds nothing else.

The literature shares its oracle as a pickle, and a pickle may call any function by its name. The threat is a file from
a stranger: it must not run code, allocate memory without bound, or build anything but float32 arrays.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgan_env.checks import shown

Array = npt.NDArray[np.float32]


class _Array:
    """Stand-in for an array in a pickle: its parts, to be checked before an array is made of them."""

    __slots__ = ("parts",)

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, data = state
        self.parts = (data, dtype, shape, "F" if is_fortran else "C")

    @property
    def n_bytes(self) -> int:
        return len(self.parts[0]) if isinstance(self.parts[0], (bytes, bytearray)) else 0

    def to_numpy(self) -> Array:
        data, dtype, shape, order = self.parts
        if not isinstance(data, (bytes, bytearray)) or not isinstance(dtype, _DType):
            raise ValueError("each array in it must be made of bytes and a dtype")
        if dtype.code != "f4" or dtype.byte_order not in ("<", ">", "="):
            raise ValueError(f"each array in it must be float32, got {shown(dtype.byte_order)} {shown(dtype.code)}")
        array: Array = np.frombuffer(data, dtype.byte_order + "f4").reshape(shape, order=order).astype(np.float32)
        return array


class _DType:
    """Stand-in for a dtype in a pickle: a code such as ``f4`` and a byte order."""

    __slots__ = ("byte_order", "code")

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code
        self.byte_order: Any = "="

    def __setstate__(self, state: Any) -> None:
        self.byte_order = state[1]


class _Global:
    """A function that a pickle may call by its name; the file can neither look into it nor change it."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it tries to change a function")


_GLOBALS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _Array,
}
"""Every name that numpy writes into the pickle of an array, and what stands in for it here."""


_OPCODES = frozenset((
    "PROTO", "FRAME", "STOP", "MARK", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD",
    "MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET",
    "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1",
    "SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8",
))  # fmt: skip
"""The instructions that a list of arrays is written with; with others a small file could take a long time."""


_LEAST_PROTOCOL = 3
"""The first in which bytes are bytes."""


_DAMAGE = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, RuntimeError, TypeError, pickle.UnpicklingError
)  # fmt: skip
"""The exceptions of reading a damaged or foreign pickle, beside ``ValueError``."""


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that knows the names in `_GLOBALS` and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Look a name up among the stand-ins."""
        call = _GLOBALS.get((module.replace("numpy._core", "numpy.core"), name))
        if call is None:
            raise pickle.UnpicklingError(f"it asks for {module!r:.40} {name!r:.40}")
        return _Global(call)


def read_array_pickle(data: bytes) -> list[Array]:
    """Read a pickled list of float32 arrays without building anything else.

    Each name in the file is replaced by a stand-in which only keeps what it is given, so that neither numpy nor
    anything else is called by the file. Two things are refused before reading: a memo index beyond the size of the
    file, since the unpickler would set aside as much memory as the index says, and instructions that no list of arrays
    needs. The arrays together hold no more bytes than the file: many references to one array are refused before the
    first copy.

    Args:
        data: the pickle, of any protocol that Python 3 writes with bytes in it (3 and above).

    Raises:
        ValueError: it is anything else.
    """
    try:
        first, protocol, _ = next(pickletools.genops(data))
        if first.name != "PROTO" or int(protocol or 0) < _LEAST_PROTOCOL:
            raise pickle.UnpicklingError(
                f"it must be of protocol {_LEAST_PROTOCOL} or above, which Python 3 writes; this one is "
                f"{'of 0 or 1' if first.name != 'PROTO' else f'of {protocol}'}, as Python 2 wrote"
            )
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name not in _OPCODES or (opcode.name.endswith("PUT") and int(argument or 0) > len(data)):
                raise pickle.UnpicklingError(f"it uses {opcode.name} {argument}")
        loaded = _ArrayUnpickler(io.BytesIO(data)).load()
        if not isinstance(loaded, (list, tuple)) or not all(isinstance(item, _Array) for item in loaded):
            raise ValueError("it must hold a list of numpy arrays")
        n_bytes = sum(item.n_bytes for item in loaded)
        if n_bytes > len(data):
            raise ValueError(f"its {len(loaded)} arrays hold {n_bytes} bytes, more than the file's {len(data)}")
        return [item.to_numpy() for item in loaded]
    except _DAMAGE as error:
        raise ValueError(f"it must be a pickle of numpy arrays and nothing else: {error}") from error
