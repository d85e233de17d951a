"""The state of networks and optimisers as files give it: checked before anything of its size is built or changed.

No state can ask for more than it brings: a network is first made without memory, and compared with the stored weights
by name and shape.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.optim import Optimizer

from seqgan_env.checks import check_names, is_whole, shown
from seqgan_env.device import check_memory, is_out_of_memory
from seqgan_env.tokens import SequenceSpec


class Weights(dict[str, npt.NDArray[Any]]):
    """A discriminator's ``state_dict`` as NumPy arrays, with the sequences that it is made for.

    Args:
        spec: the sequences; its vocabulary is compared where the weights are loaded.
        arrays: by name.
    """

    def __init__(self, spec: SequenceSpec, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        super().__init__(arrays)
        self.spec = spec

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes."""
        return type(self), (self.spec, dict(self))


def check_weights(own: Mapping[str, Tensor], weights: Any) -> None:
    """Refuse weights that do not take the place of a network's own.

    Args:
        own: its ``state_dict``; the values are not looked at.
        weights: the others.

    Raises:
        ValueError: a weight is missing, unknown, of another shape or dtype, or not finite.
    """
    if not isinstance(weights, Mapping) or own.keys() != weights.keys():
        differing = shown(weights)
        if isinstance(weights, Mapping):
            differing = ", ".join(sorted(map(str, own.keys() ^ weights.keys()))[:20])
        raise ValueError(f"the weights must have the names of the network's own; missing or unknown: {differing}")
    for name, weight in weights.items():
        _check_tensor(name, weight, own[name])


def load_weights(network: nn.Module, weights: Any) -> None:
    """``load_state_dict``, except that weights which don't fit change nothing.

    Raises:
        ValueError: see ``check_weights``.
    """
    check_weights(network.state_dict(), weights)
    network.load_state_dict(dict(weights))


_NEVER_NEGATIVE = {"step", "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "square_avg", "sum"}
"""Statistics of torch's optimisers that are counts, or means or sums of what is at least 0."""


def load_optimizer(optimizer: Optimizer, state: Any) -> None:
    """Restore an optimiser's statistics; its settings stay its own.

    Args:
        optimizer: it has the parameters that the other one had.
        state: a ``state_dict``.

    Raises:
        ValueError: the statistics are not those of this kind of optimiser and of these parameters, or not finite.
    """
    check_names("an optimiser's state", state, ("state", "param_groups"))
    own, stored = _state_after_a_step(optimizer), state["state"]
    if not isinstance(stored, Mapping) or stored.keys() - own.keys():
        raise ValueError(f"the optimiser's state must be of parameters 0 to {len(own) - 1}, got {shown(stored)}")
    for index, each in stored.items():  # a parameter without a gradient has none
        check_form(f"the optimiser's state of parameter {index}", each, own[index])
        for name in own[index].keys() & (_NEVER_NEGATIVE if type(optimizer).__module__.startswith("torch.") else set()):
            if isinstance(each[name], Tensor) and bool((each[name] < 0).any()):
                raise ValueError(f"{name} in the optimiser's state of parameter {index} must be at least 0")
    optimizer.load_state_dict({"state": stored, "param_groups": optimizer.state_dict()["param_groups"]})


def check_form(name: str, value: Any, like: Any) -> None:
    """Refuse a stored state that has not the form of one that a fresh object would store.

    The names of mappings are the same, unless the fresh one is empty: such a one holds finite numbers, or what its
    reader checks. Counts are whole and at least what they begin with; other numbers are finite, unless they begin
    infinite, and not negative. Lists are not looked into.

    Args:
        name: of the state, for an error.
        value: the stored one.
        like: the fresh one.

    Raises:
        ValueError: it has another form.
    """
    if isinstance(like, Mapping):
        if like or not isinstance(value, Mapping):
            check_names(name, value, list(like))
        for key, each in value.items():
            if like:
                check_form(f"{name}.{key}", each, like[key])
            elif not isinstance(each, (Mapping, Tensor, list)) and not _is_finite(each):
                raise ValueError(f"{name}.{key} must be a finite number, got {shown(each)}")
    elif isinstance(like, Tensor):
        _check_tensor(name, value, like)
    elif isinstance(like, bool) or like is None or isinstance(like, (str, list, tuple)):
        kind = (list, tuple) if isinstance(like, (list, tuple)) else type(like)
        if not isinstance(value, kind):
            raise ValueError(f"{name} must be of the kind of {shown(like)}, got {shown(value)}")
    elif isinstance(like, int):
        if not is_whole(value) or value < like:
            raise ValueError(f"{name} must be a whole number of at least {like}, got {shown(value)}")
    elif isinstance(like, float):
        limit = like if math.isinf(like) else None
        if not (_is_finite(value) or value == limit) or value < 0:
            raise ValueError(f"{name} must be a number of at least 0, got {shown(value)}")
    else:
        raise TypeError(f"{name} holds a {type(like).__name__}, which no file does")


def check_buildable(build: Callable[[], nn.Module], weights: Any) -> None:
    """Refuse a recipe for a network whose weights are not these, without the time and memory of building it.

    Args:
        build: makes the network; it is called where tensors have shapes but no elements.
        weights: those that it should have; only names and shapes count.

    Raises:
        ValueError: they differ, or the recipe has far more weights.
    """
    if not isinstance(weights, Mapping) or not all(isinstance(weight, Tensor) for weight in weights.values()):
        raise ValueError(f"the weights must be tensors by name, got {shown(weights)}")
    with torch.random.fork_rng(devices=[]), torch.device("meta"), _at_most(4 * len(weights) + 4):
        own = build().state_dict()
    check_weights(own, {name: weight.to("meta") for name, weight in weights.items()})


@contextmanager
def within_memory(of: str) -> Iterator[None]:
    """Refuse to build a network that, with its gradient and Adam's two means of it, takes more memory than there is.

    Args:
        of: the network, with its settings.

    Raises:
        ValueError: it does; before its weights are written to memory.
    """
    n_bytes = 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal n_bytes
        if parameter is not None and not parameter.is_meta:
            n_bytes += 4 * parameter.nbytes
            check_memory(n_bytes, of)

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    except (RuntimeError, TypeError) as error:
        if is_out_of_memory(error):
            raise ValueError(f"{of} must fit into the memory of this machine, got one that does not") from error
        raise
    finally:
        handle.remove()


def check_sizes(spec: SequenceSpec, n_bytes: int) -> None:
    """Refuse sequences that are longer, or of more tokens, than the file that describes them has bytes.

    Raises:
        ValueError: they are.
    """
    if max(spec.vocab_size, spec.max_length) > n_bytes:
        raise ValueError(f"a file of {n_bytes} bytes cannot be of {spec}")


def digest(weights: Mapping[str, Tensor], recipe: str) -> str:
    """The SHA-256 of weights, with their names, dtypes and shapes, and of the text beside them."""
    total = hashlib.sha256(recipe.encode())
    for name, weight in sorted(weights.items()):
        total.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        total.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _check_tensor(name: str, value: Any, like: Tensor) -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"{name} must be a tensor, got {shown(value)}")
    if value.shape != like.shape:
        raise ValueError(f"{name} must have shape {tuple(like.shape)}, got {tuple(value.shape)}")
    if value.is_floating_point() != like.is_floating_point() or value.is_complex() != like.is_complex():
        raise ValueError(f"{name} must be of {like.dtype}, got {value.dtype}")
    if value.device.type != "meta" and not value.isfinite().all():
        raise ValueError(f"{name} must be finite, got NaN or infinity in it")


def _state_after_a_step(optimizer: Optimizer) -> dict[int, Any]:
    """The statistics, by parameter, that an optimiser has once it has made a step; the tensors have no elements."""
    groups = []
    for group in optimizer.param_groups:
        shadows = [nn.Parameter(torch.empty_like(each, device="meta")) for each in group["params"]]
        for each in shadows:
            each.grad = torch.empty_like(each)
        groups.append({**group, "params": shadows, "fused": False, "foreach": False})
    shadow: Any = type(optimizer)(groups)  # type: ignore[call-arg]
    shadow.step()
    state: dict[int, Any] = shadow.state_dict()["state"]
    return state


def _is_finite(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, (int, float)) and abs(value) < math.inf


@contextmanager
def _at_most(n_weights: int) -> Iterator[None]:
    """Stop the building of a network that registers more weights than that, replaced ones included."""
    left = n_weights

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError("the settings describe a network with more weights than there are")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


class Fingerprint:
    """The identity of some tensors, the count of their changes, and a sample of their elements.

    Torch's count sees most changes, and ``gradient_step`` lets it see its own; other fused optimisers and
    ``Tensor.data`` escape it. Without a tensor no change is seen, so that nothing equals the fingerprint of none, not
    even itself.

    Args:
        tensors: by name.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = list(tensors.values())
        self._versions = [tensor._version for tensor in self._tensors]
        samples = [tensor.reshape(-1)[:: max(1, tensor.numel() // 32)].double() for tensor in self._tensors]
        self._sample = torch.cat(samples) if samples else torch.zeros(0)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Fingerprint)
            and bool(self._tensors)
            and len(self._tensors) == len(other._tensors)
            and all(a is b for a, b in zip(self._tensors, other._tensors, strict=True))
            and self._versions == other._versions
            and torch.equal(self._sample, other._sample)
        )

    __hash__ = None  # type: ignore[assignment]
