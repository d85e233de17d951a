"""Discriminators: networks, the optimum they aim at, and how they are trained."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from seqgan_env.discriminators.base import Discriminator
from seqgan_env.discriminators.cnn import PAPER_FILTERS, CNNDiscriminator
from seqgan_env.discriminators.optimal import OptimalDiscriminator
from seqgan_env.discriminators.tabular import TabularDiscriminator
from seqgan_env.discriminators.training import DiscriminatorTrainer, discriminator_loss, discriminator_scores
from seqgan_env.seeding import derived_seed
from seqgan_env.tokens import SequenceSpec

__all__ = [
    "DISCRIMINATORS",
    "PAPER_FILTERS",
    "CNNDiscriminator",
    "Discriminator",
    "DiscriminatorTrainer",
    "OptimalDiscriminator",
    "TabularDiscriminator",
    "build_discriminator",
    "check_discriminator",
    "discriminator_loss",
    "discriminator_scores",
    "load_discriminator",
    "save_discriminator",
]

DISCRIMINATORS: dict[str, type[Discriminator]] = {"cnn": CNNDiscriminator, "tabular": TabularDiscriminator}
"""The discriminators by name."""


def build_discriminator(
    name: str, spec: SequenceSpec, *, seed: int = 0, kwargs: Mapping[str, Any] | None = None
) -> Discriminator:
    """Make a freshly initialised discriminator, in evaluation mode, the same for the same seed.

    Args:
        name: a key of ``DISCRIMINATORS``, or the path of a file that ``save_discriminator`` wrote.
        spec: the task's sequences.
        seed: of the initial weights.
        kwargs: further arguments of the class; none for a file.

    Raises:
        ValueError: an unknown name, a bad argument, or a file of another task.
    """
    check_discriminator(name, spec, kwargs)
    if name not in DISCRIMINATORS:
        return load_discriminator(name)
    return _construct(name, spec, kwargs or {}, seed)


def check_discriminator(name: str, spec: SequenceSpec, kwargs: Mapping[str, Any] | None = None) -> None:
    """Find what is wrong with the arguments of ``build_discriminator``, without its time and memory.

    Raises:
        ValueError: an unknown name, a bad argument, or a file of another task.
    """
    if name in DISCRIMINATORS:
        _check_arguments(name, spec, kwargs or {})
        return
    if not Path(name).is_file():
        raise ValueError(f"discriminator must be one of {', '.join(DISCRIMINATORS)} or a file; got {name!r}")
    if kwargs:
        raise ValueError(f"discriminator_kwargs come with the file {name}; got {dict(kwargs)}")
    try:
        with safe_open(name, framework="pt") as file:
            found = _read_recipe(file)[1]
    except _DAMAGE as error:
        raise ValueError(f"{name} is not a discriminator file: {error}") from error
    if found != spec:
        raise ValueError(f"{name} is a discriminator of {found}, the task has {spec}")


def save_discriminator(discriminator: Discriminator, path: str | Path) -> None:
    """Write the weights and the recipe of a discriminator that ``build_discriminator`` made, as safetensors.

    Raises:
        ValueError: it was made otherwise, so that a reader could not rebuild it.
    """
    if not discriminator.recipe:
        raise ValueError("only a discriminator made by build_discriminator or load_discriminator can be saved")
    tensors = {name: tensor.contiguous().cpu() for name, tensor in discriminator.state_dict().items()}
    save_file(tensors, path, metadata={"recipe": json.dumps(discriminator.recipe)})


def load_discriminator(path: str | Path) -> Discriminator:
    """Read what ``save_discriminator`` wrote; nothing in the file is executed.

    Raises:
        ValueError: the file is missing, damaged, or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            recipe = _read_recipe(file)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        _check_arguments(*recipe)
        discriminator = _construct(*recipe)
        discriminator.load_weights(weights)
    except _DAMAGE as error:
        raise ValueError(f"{path} is not a discriminator file: {error}") from error
    return discriminator


_DAMAGE = (OSError, SafetensorError, KeyError, TypeError, RuntimeError, ValueError)
"""What reading a file raises that is not what it should be."""


def _read_recipe(file: Any) -> tuple[str, SequenceSpec, dict[str, Any]]:
    """How the discriminator of an open file was made: its class by name, the task's sequences, further arguments."""
    recipe = json.loads((file.metadata() or {})["recipe"])
    return recipe["name"], SequenceSpec(**recipe["spec"]), dict(recipe["kwargs"])


def _check_arguments(name: str, spec: SequenceSpec, kwargs: Mapping[str, Any]) -> None:
    """Refuse what ``_construct`` could not make."""
    cls = DISCRIMINATORS[name]
    allowed = [p for p in inspect.signature(cls).parameters if p != "spec"]
    unknown = sorted(set(kwargs) - set(allowed))
    if unknown:
        raise ValueError(f"discriminator {name!r} takes {', '.join(allowed)}; got {', '.join(unknown)}")
    try:
        cls.check(spec, **kwargs)
    except TypeError as error:
        raise ValueError(f"discriminator_kwargs {dict(kwargs)} of {name!r}: {error}") from error


def _construct(name: str, spec: SequenceSpec, kwargs: Mapping[str, Any], seed: int = 0) -> Discriminator:
    """Make an instance of a class, which notes its recipe; torch's global generator is left as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "discriminator"))
        discriminator = DISCRIMINATORS[name](spec, **kwargs).eval()
    discriminator.recipe = {"name": name, "kwargs": dict(kwargs), "spec": asdict(spec)}
    return discriminator
