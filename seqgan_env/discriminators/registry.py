"""The discriminators by name: building, checking, saving and loading them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save

from seqgan_env.checks import NonNegativeInt, build_config, check_arguments, check_names, shown
from seqgan_env.descent import check_weights
from seqgan_env.discriminators.base import Discriminator
from seqgan_env.files import atomic_write, parse_json, refusal
from seqgan_env.registry import OWN, Registry
from seqgan_env.seeding import derived_seed
from seqgan_env.tokens import SequenceSpec
from seqgan_env.weights import check_buildable, check_sizes, digest, within_memory


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
    cost: str = ""
    """The cost of a score and of a round in terms of its size."""
    when: str = ""
    """Advice on when to choose it."""


_OF_GENERATOR = ("generator_core", "generator_kwargs")

DISCRIMINATORS: Registry[DiscriminatorEntry] = Registry("discriminator")
"""The discriminators by name."""


@check_arguments
def register_discriminator(
    name: str, kind: Any, *, summary: str, source: str, formula: str = "", cost: str = "", when: str = ""
) -> None:
    """Make a discriminator available by name: to ``gymnasium.make(..., discriminator=name)`` and to the command line.

    Args:
        name: an identifier.
        kind: its class, constructed with the sequences' specification and its ``Config``.
        summary: a sentence on what it is.
        source: the paper, or where it comes from.
        formula: its logit as a function of the sequence Y, in a line of plain text; may be left out.
        cost: that of a score and of a round in terms of its size; may be left out.
        when: advice on when to choose it; may be left out.

    Raises:
        ValueError: the name is taken or no identifier, the class is no discriminator, or a text is empty.
    """
    if not (isinstance(kind, type) and issubclass(kind, Discriminator)):
        raise ValueError(f"a discriminator must be a subclass of Discriminator, got {kind!r}")
    if not summary.strip() or not source.strip():
        raise ValueError(f"discriminator {name!r} must declare summary and source")
    DISCRIMINATORS.register(name, DiscriminatorEntry(kind, summary, source, formula, cost, when))


@check_arguments
def build_discriminator(
    name: str, spec: SequenceSpec, *, seed: NonNegativeInt = 0, kwargs: Mapping[str, Any] | None = None
) -> Discriminator:
    """Make a freshly initialised discriminator, in evaluation mode, the same for the same seed.

    Args:
        name: a key of ``DISCRIMINATORS``, or the path of a file that ``save_discriminator`` wrote.
        spec: the task's sequences.
        seed: of the initial weights.
        kwargs: fields of the class's ``Config``; for a file, which has its own, only ``generator_core`` and
            ``generator_kwargs``, where it is of a kind that follows the generator: what it learned of real sequences
            serves any generator.

    Raises:
        ValueError: an unknown name, a bad argument, or a file of another task.
    """
    check_discriminator(name, spec, kwargs)
    if name in DISCRIMINATORS:
        return _construct(name, spec, kwargs or {}, seed)
    discriminator = load_discriminator(name)
    return _beside(discriminator, kwargs) if kwargs else discriminator


@check_arguments
def discriminator_kind(name: str) -> type[Discriminator]:
    """The class of a discriminator.

    Args:
        name: a key of ``DISCRIMINATORS``, or the path of a file that ``save_discriminator`` wrote.

    Raises:
        ValueError: there is neither, or the file is damaged.
    """
    if name in DISCRIMINATORS:
        return DISCRIMINATORS[name].kind
    return DISCRIMINATORS[_recipe_of(name).name].kind


@check_arguments
def check_discriminator(
    name: str, spec: SequenceSpec, kwargs: Mapping[str, Any] | None = None
) -> tuple[str, dict[str, Any]]:
    """Check the arguments of ``build_discriminator``, without its time and memory.

    Returns:
        The registered name and all its settings; of a file those that it holds.

    Raises:
        ValueError: an unknown name, a bad argument, or a file of another task.
    """
    if name in DISCRIMINATORS:
        return name, asdict(_config(name, spec, kwargs or {}))
    recipe = _recipe_of(name)
    follows = DISCRIMINATORS[recipe.name].kind.follows_generator
    if unknown := sorted(set(kwargs or {}) - set(_OF_GENERATOR if follows else ())):
        raise ValueError(f"discriminator_kwargs come with the file {name}; got {', '.join(unknown)}")
    if recipe.spec != spec:
        raise ValueError(f"{name} is a discriminator of {recipe.spec}, the task has {spec}")
    return recipe.name, asdict(_config(recipe.name, spec, {**recipe.kwargs, **(kwargs or {})}))


@check_arguments
def save_discriminator(discriminator: Discriminator, path: str | Path) -> None:
    """Write the weights and the settings of a discriminator, as safetensors; missing folders are made.

    Raises:
        ValueError: its class is not registered, so that a reader could not rebuild it, a weight is not finite, or the
            path names no file.
    """
    kind = type(discriminator)
    name = next((name for name, entry in DISCRIMINATORS.items() if entry.kind is kind), None)
    if name is None:
        raise ValueError(f"only a registered discriminator can be saved, got {kind.__name__}")
    check_weights(discriminator, "discriminator")
    recipe = json.dumps(asdict(_Recipe(name, asdict(discriminator.config), discriminator.spec)))
    weights = {name: tensor.contiguous().cpu() for name, tensor in discriminator.state_dict().items()}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(save(weights, metadata={"recipe": recipe, "sha256": digest(weights, recipe)}))


@check_arguments
def load_discriminator(path: str | Path) -> Discriminator:
    """Read what ``save_discriminator`` wrote; nothing in the file is executed.

    Raises:
        ValueError: the file is missing, damaged, or something else.
    """
    with refusal(path, "discriminator file"):
        if not Path(path).is_file():
            raise ValueError("there is no such file")
        with safe_open(path, framework="pt") as file:
            recipe, text, sha256 = _read_recipe(path, file)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if digest(weights, text) != sha256:
            raise ValueError("its content has not the checksum that it names")
        check_buildable(lambda: _construct(recipe.name, recipe.spec, recipe.kwargs), weights)
        discriminator = _construct(recipe.name, recipe.spec, recipe.kwargs)
        discriminator.load_weights(weights)
    return discriminator


@dataclass(frozen=True)
class _Recipe:
    """The part of a file from which the network is made that its weights belong to."""

    name: str
    """A registered name."""
    kwargs: Mapping[str, Any]
    """The settings."""
    spec: SequenceSpec
    """The sequences."""


def _recipe_of(name: str) -> _Recipe:
    """The recipe in the file of a discriminator."""
    if not Path(name).is_file():
        raise ValueError(f"discriminator must be one of {', '.join(DISCRIMINATORS)} or a file; got {name!r} ({OWN})")
    with refusal(name, "discriminator file"), safe_open(name, framework="pt") as file:
        return _read_recipe(name, file)[0]


def _read_recipe(path: str | Path, file: Any) -> tuple[_Recipe, str, str]:
    """The recipe in an open file, its text, and the checksum."""
    metadata = file.metadata() or {}
    check_names("its metadata", metadata, ("recipe", "sha256"))
    recipe = build_config(_Recipe, parse_json(metadata["recipe"]), "the recipe", complete=True)
    check_sizes(recipe.spec, os.path.getsize(path))
    _config(recipe.name, recipe.spec, recipe.kwargs)
    return recipe, metadata["recipe"], metadata["sha256"]


def _config(name: str, spec: SequenceSpec, kwargs: Mapping[str, Any]) -> Any:
    """The settings of a registered discriminator, if they fit the sequences."""
    kind = DISCRIMINATORS.lookup(name).kind
    config = build_config(kind.Config, kwargs, f"discriminator {name!r}")
    kind.check(spec, config)
    return config


def _beside(discriminator: Discriminator, of_generator: Mapping[str, Any]) -> Discriminator:
    """The same discriminator for a generator of another form, whose weights it has not taken over yet."""
    name = next(name for name, entry in DISCRIMINATORS.items() if entry.kind is type(discriminator))
    other = _construct(name, discriminator.spec, {**asdict(discriminator.config), **of_generator})
    learned = {name: w for name, w in discriminator.state_dict().items() if not name.startswith("generator.")}
    other.load_weights({**other.state_dict(), **learned})
    return other


def _construct(name: str, spec: SequenceSpec, kwargs: Mapping[str, Any], seed: int = 0) -> Discriminator:
    """Make an instance of a registered class; torch's global generator is left as it is."""
    config = _config(name, spec, kwargs)
    with torch.random.fork_rng(devices=[]), within_memory(f"discriminator {name!r} of {shown(dict(kwargs))}"):
        torch.manual_seed(derived_seed(seed, "discriminator"))
        return DISCRIMINATORS[name].kind(spec, config).eval()
