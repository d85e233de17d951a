"""The discriminators by name: building, checking, saving and loading them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from seqgan_env.checks import build_config
from seqgan_env.descent import check_weights
from seqgan_env.discriminators.base import Discriminator
from seqgan_env.registry import Registry
from seqgan_env.seeding import derived_seed
from seqgan_env.tokens import SequenceSpec


@dataclass(frozen=True)
class DiscriminatorEntry:
    """A discriminator as the registry knows it."""

    kind: type[Discriminator]
    """Its class."""
    summary: str
    """A sentence on what it is."""
    source: str
    """The paper, or where it comes from."""
    formula: str = ""
    """Its logit as a function of the sequence Y, in a line of plain text."""
    when: str = ""
    """Advice on when to choose it."""


DISCRIMINATORS: Registry[DiscriminatorEntry] = Registry("discriminator")
"""The discriminators by name."""


def register_discriminator(
    name: str, kind: type[Discriminator], *, summary: str, source: str, formula: str = "", when: str = ""
) -> None:
    """Make a discriminator available by name: to ``gymnasium.make(..., discriminator=name)`` and to the command line.

    Args:
        name: an identifier.
        kind: its class, constructed with the sequences' specification and its ``Config``.
        summary: a sentence on what it is.
        source: the paper, or where it comes from.
        formula: its logit as a function of the sequence Y, in a line of plain text; may be left out.
        when: advice on when to choose it; may be left out.

    Raises:
        ValueError: the name is taken or no identifier, the class is no discriminator, or a text is empty.
    """
    if not (isinstance(kind, type) and issubclass(kind, Discriminator)):
        raise ValueError(f"a discriminator must be a subclass of Discriminator, got {kind!r}")
    if not summary.strip() or not source.strip():
        raise ValueError(f"discriminator {name!r} must declare summary and source")
    DISCRIMINATORS.register(name, DiscriminatorEntry(kind, summary, source, formula, when))


def build_discriminator(
    name: str, spec: SequenceSpec, *, seed: int = 0, kwargs: Mapping[str, Any] | None = None
) -> Discriminator:
    """Make a freshly initialised discriminator, in evaluation mode, the same for the same seed.

    Args:
        name: a key of ``DISCRIMINATORS``, or the path of a file that ``save_discriminator`` wrote.
        spec: the task's sequences.
        seed: of the initial weights.
        kwargs: fields of the class's ``Config``; none for a file.

    Raises:
        ValueError: an unknown name, a bad argument, or a file of another task.
    """
    check_discriminator(name, spec, kwargs)
    if name not in DISCRIMINATORS:
        return load_discriminator(name)
    return _construct(name, spec, kwargs or {}, seed)


def check_discriminator(name: str, spec: SequenceSpec, kwargs: Mapping[str, Any] | None = None) -> None:
    """Check the arguments of ``build_discriminator``, without its time and memory.

    Raises:
        ValueError: an unknown name, a bad argument, or a file of another task.
    """
    if name in DISCRIMINATORS:
        _config(name, spec, kwargs or {})
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
    """Write the weights and the settings of a discriminator, as safetensors.

    Raises:
        ValueError: its class is not registered, so that a reader could not rebuild it, or a weight is not finite.
    """
    kind = type(discriminator)
    name = next((name for name, entry in DISCRIMINATORS.items() if entry.kind is kind), None)
    if name is None:
        raise ValueError(f"only a registered discriminator can be saved, got {kind.__name__}")
    check_weights(discriminator, "discriminator")
    recipe = {"name": name, "kwargs": asdict(discriminator.config), "spec": asdict(discriminator.spec)}
    tensors = {name: tensor.contiguous().cpu() for name, tensor in discriminator.state_dict().items()}
    save_file(tensors, path, metadata={"recipe": json.dumps(recipe)})


def load_discriminator(path: str | Path) -> Discriminator:
    """Read what ``save_discriminator`` wrote; nothing in the file is executed.

    Raises:
        ValueError: the file is missing, damaged, or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            recipe = _read_recipe(file)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        discriminator = _construct(*recipe)
        discriminator.load_weights(weights)
    except _DAMAGE as error:
        raise ValueError(f"{path} is not a discriminator file: {error}") from error
    return discriminator


_DAMAGE = (OSError, SafetensorError, KeyError, TypeError, RuntimeError, ValueError)
"""The exceptions of reading a damaged or foreign file."""


def _read_recipe(file: Any) -> tuple[str, SequenceSpec, dict[str, Any]]:
    """The class by name, the sequences and the settings of the discriminator in an open file."""
    recipe = json.loads((file.metadata() or {})["recipe"])
    return recipe["name"], SequenceSpec(**recipe["spec"]), dict(recipe["kwargs"])


def _config(name: str, spec: SequenceSpec, kwargs: Mapping[str, Any]) -> Any:
    """The settings of a registered discriminator, if they fit the sequences."""
    kind = DISCRIMINATORS.lookup(name).kind
    config = build_config(kind.Config, kwargs, f"discriminator {name!r}")
    kind.check(spec, config)
    return config


def _construct(name: str, spec: SequenceSpec, kwargs: Mapping[str, Any], seed: int = 0) -> Discriminator:
    """Make an instance of a registered class; torch's global generator is left as it is."""
    config = _config(name, spec, kwargs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "discriminator"))
        return DISCRIMINATORS[name].kind(spec, config).eval()
