"""The devices of tensors, and what depends on them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def resolve_device(device: str) -> torch.device:
    """``"auto"`` is a CUDA device where there is one, else the CPU.

    Raises:
        ValueError: there is no such device here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        resolved = torch.device(device)
        torch.zeros((), device=resolved).item()
    except (AssertionError, ImportError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]
        raise ValueError(f"device must be 'auto', 'cpu' or a device that is here; got {device!r}: {reason}") from error
    return resolved


def set_matmul_precision(name: str) -> None:
    """``torch.set_float32_matmul_precision``, for a GPU's LSTMs and convolutions too: for these torch has a flag apart.

    Args:
        name: highest, high or medium.
    """
    torch.set_float32_matmul_precision(name)
    torch.backends.cudnn.allow_tf32 = name != "highest"


@contextlib.contextmanager
def twice_differentiable() -> Iterator[None]:
    """Attention and recurrent layers in the forms that have a second derivative, if gradients are taken at all.

    The fused ones, attention's and those of a GPU's recurrent layers, have none.
    """
    if not torch.is_grad_enabled():
        yield
        return
    with sdpa_kernel(SDPBackend.MATH), torch.backends.cudnn.flags(enabled=False):
        yield


def check_device(device: str) -> None:
    """Refuse what is no name of a device; a device that is not here has one too.

    Raises:
        ValueError: torch knows no such name.
    """
    try:
        if device != "auto":
            torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device must be 'auto', 'cpu' or another device of torch, got {device!r}") from error


def check_memory(n_bytes: int, what: str) -> None:
    """Refuse what does not fit into the memory of this machine, where that is known.

    Args:
        n_bytes: how much it takes at least.
        what: it is, for an error.

    Raises:
        ValueError: it does not fit.
    """
    try:
        has = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on this system
        return
    if n_bytes > has:
        raise ValueError(f"{what} must fit into the memory of this machine, {has:.1e} bytes; got {n_bytes:.1e} bytes")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch says that memory, or an address in it, cannot be had."""
    texts = ("allocate memory", "not enough memory", "calculation overflowed", "unpacking long", "invalid buffer size")
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error).lower() for text in texts)


def may_look(device: torch.device) -> bool:
    """Whether reading a tensor's values forces no synchronisation.

    On a GPU the program would have to wait until everything it has asked for is done. There shapes must not depend on
    values: sequences that have ended are computed on, and masked.
    """
    return device.type == "cpu"
