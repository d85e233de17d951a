"""The settings of a run as flags of the command line: an option of a part is a flag by being a field of that part.

The flags depend on a few choices: the core has settings of its own, so have the discriminator, the reward and each
shaping, and a reward that trains no discriminator leaves out those of its training. The command line therefore reads
these choices first.
"""

from __future__ import annotations

import argparse
import collections.abc
import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Union

import tyro

from agents.runs.config import GeneratorConfig, RunConfig
from agents.runs.folder import RunFolder
from agents.runs.presets import PRESETS, get_preset, preset_for
from agents.runs.resuming import with_free_settings
from seqgan_env.autoregressive import CORES, CoreConfig
from seqgan_env.checks import build_config, field_types
from seqgan_env.discriminators import DISCRIMINATORS
from seqgan_env.rewards import REWARDS
from seqgan_env.setting_docs import setting_meanings
from seqgan_env.shaping import SHAPINGS, shaping_configs
from seqgan_env.sources.id_file import IDS
from seqgan_env.task_config import TaskConfig
from seqgan_env.task_docs import argument_meanings

_OF_THE_RUN = ("device", "discriminator_seed", "discriminator_kwargs", "reward_kwargs", "shaping_kwargs")
"""The fields of a task that a run gives it from elsewhere."""


def default_config(argv: Sequence[str]) -> RunConfig:
    """The settings of the flags that are not given.

    They are those of the run that is resumed, else of the preset that is named or that suits the source, with the core,
    the discriminator, the reward and the shaping that the flags ask for. Where a run is resumed and a preset is named,
    they are the preset's, but for those that a run may change.

    Args:
        argv: the flags of ``seqgan train``.

    Raises:
        ValueError: an unknown name, or a run that cannot be read.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("source", "level", "preset", "reward", "discriminator", "generator.core"):
        early.add_argument(f"--{name}", nargs="?")  # the full parser says which value is missing
    early.add_argument("--shaping", nargs="*")
    early.add_argument("--out", type=Path, nargs="?")
    early.add_argument("--resume", action="store_true")
    given = vars(early.parse_known_args(list(argv))[0])
    default = PRESETS["grammar"]
    if given["resume"] and given["out"] is not None and given["out"].exists():
        default = RunFolder(given["out"]).load_config()
        if given["preset"] is not None:
            default = with_free_settings(default, get_preset(given["preset"]))
    elif given["preset"] is not None or given["source"] is not None:
        default = get_preset(given["preset"] if given["preset"] is not None else preset_for(given["source"]))
    task = default.task
    if given["level"] == IDS:  # without text, which min_count is about
        task = dataclasses.replace(task, min_count=None)
    if given["reward"] is not None:
        kept = task.reward_kwargs if given["reward"] == task.reward else {}
        task = dataclasses.replace(task, reward=given["reward"], reward_kwargs=kept)
    if given["discriminator"] not in (None, task.discriminator):
        task = dataclasses.replace(task, discriminator=given["discriminator"], discriminator_kwargs={})
    if given["shaping"]:
        shaping = given["shaping"][0] if len(given["shaping"]) == 1 else given["shaping"]
        kept = {name: settings for name, settings in task.shaping_kwargs.items() if name in given["shaping"]}
        task = dataclasses.replace(task, shaping=shaping, shaping_kwargs=kept)
    generator = default.generator
    if given["generator.core"] not in (None, generator.core):
        kept = {each.name: generator.kwargs[each.name] for each in dataclasses.fields(CoreConfig)}
        generator = GeneratorConfig(given["generator.core"], kept)
    return dataclasses.replace(default, task=task, generator=generator)


def run_flags(default: RunConfig) -> Any:
    """An instance of a dataclass whose fields are the flags, with their defaults.

    Args:
        default: the settings.
    """
    task = default.task
    hints = typing.get_type_hints(TaskConfig)
    of_task = [
        (each.name, Annotated[_plain(hints[each.name]), tyro.conf.arg(help=_help(each.name))])
        for each in dataclasses.fields(TaskConfig)
        if each.name not in _OF_THE_RUN
    ]
    task_flags = dataclasses.make_dataclass("TaskFlags", of_task, frozen=True)
    core = _unchecked(
        CORES[default.generator.core].Config,
        [("core", Annotated[str, tyro.conf.arg(help=f"The network. Registered: {', '.join(CORES)}.")], "lstm")],
    )
    parts: dict[str, tuple[Any, Any]] = {
        "task": (
            Annotated[task_flags, tyro.conf.arg(name="")],
            task_flags(**{name: getattr(task, name) for name, _ in of_task}),
        ),
        "generator": (core, core(core=default.generator.core, **default.generator.kwargs)),
    }
    if default.is_adversarial and task.discriminator in DISCRIMINATORS:
        config = DISCRIMINATORS[task.discriminator].kind.Config
        if dataclasses.fields(config):
            settings = build_config(config, task.discriminator_kwargs, f"discriminator {task.discriminator!r}")
            unchecked = _unchecked(config)
            parts["discriminator"] = (unchecked, unchecked(**vars(settings)))
    of_reward = task.build_reward_config()
    if dataclasses.fields(of_reward):
        unchecked = _unchecked(type(of_reward))
        parts["reward"] = (unchecked, unchecked(**vars(of_reward)))
    of_shaping = [
        (name, unchecked := _unchecked(type(config)), dataclasses.field(default=unchecked(**vars(config))))
        for name, config in shaping_configs(task.shaping, task.shaping_kwargs).items()
    ]
    if of_shaping:
        shapings = dataclasses.make_dataclass("ShapingFlags", of_shaping, frozen=True)
        parts["shaping"] = (shapings, shapings())
    for each in dataclasses.fields(default):
        value = getattr(default, each.name)
        if each.name == "seed":
            parts["seed"] = (Annotated[int, tyro.conf.arg(help="Everything random follows it.")], value)
        elif each.name not in parts and (each.name != "adversary" or default.is_adversarial):
            kind = _unchecked(type(value))
            is_flat = each.name == "runtime"
            parts[each.name] = (Annotated[kind, tyro.conf.arg(name="")] if is_flat else kind, kind(**vars(value)))
    fields = [(name, kind, dataclasses.field(default=value)) for name, (kind, value) in parts.items()]
    return dataclasses.make_dataclass("RunFlags", fields, frozen=True)()


def flag_of(name: str) -> str:
    """The flag of a setting.

    Args:
        name: its dotted name in ``RunConfig``.
    """
    short = name.removeprefix("task.").removeprefix("runtime.").replace("_kwargs.", ".").replace(".kwargs.", ".")
    return "--" + short.replace("_", "-")


def flag_with(name: str, value: Any) -> list[str]:
    """The words of the command line that give a setting a value.

    Args:
        name: its dotted name in ``RunConfig``.
        value: the value.
    """
    flag = flag_of(name)
    if isinstance(value, bool):
        part, dot, last = flag[2:].rpartition(".")
        return [flag if value else f"--{part}{dot}no-{last}"]
    return [flag, str(value)]


def explained(kind: type, more: Sequence[tuple[str, Any, Any]] = (), members: Mapping[str, Any] | None = None) -> Any:
    """A dataclass with the fields of another one whose meanings, in its source, are the help of flags.

    The parser would find them itself, and keep the line breaks of the source.

    Args:
        kind: the dataclass.
        more: fields to add, each with its type and default.
        members: to add to the class.
    """
    hints, meanings = field_types(kind), setting_meanings(kind)
    fields: list[tuple[str, Any, Any]] = []
    for each in dataclasses.fields(kind):
        own = dataclasses.field(default=each.default, default_factory=each.default_factory, kw_only=each.kw_only)
        text = _plain_text(meanings[each.name])
        fields.append(
            (each.name, Annotated[hints[each.name], tyro.conf.arg(help=text)] if text else hints[each.name], own)
        )
    fields += [(name, hint, dataclasses.field(default=default)) for name, hint, default in more]
    about = re.split(r"\n\n(?:Args|Raises):\n", inspect.cleandoc(kind.__doc__ or ""))[0]
    doc = "\n\n".join(map(_plain_text, about.split("\n\n")))
    members = {"__doc__": doc, **(members or {})}
    return dataclasses.make_dataclass(kind.__name__, fields, bases=(kind,), namespace=members, frozen=True)


def _plain_text(text: str) -> str:
    """A paragraph of a docstring in one line, as a terminal shows it."""
    return " ".join(text.split()).replace("`", "")


def _unchecked(config: type, more: Sequence[tuple[str, Any, Any]] = ()) -> Any:
    """A dataclass with the fields of another one, and more, that checks nothing.

    Its values are checked when the settings are made of it: an error while the command line is parsed would be shown in
    a box of the parser's own.
    """
    return explained(config, more, {"__post_init__": lambda self: None})


def to_config(flags: Any, default: RunConfig) -> RunConfig:
    """The settings that parsed flags describe.

    Args:
        flags: an instance of the dataclass of ``run_flags``.
        default: what they were made of.

    Raises:
        ValueError: they do not fit each other.
    """
    task = {each.name: getattr(flags.task, each.name) for each in dataclasses.fields(flags.task)}
    generator = dataclasses.asdict(flags.generator)
    parts: dict[str, Any] = {}
    for each in dataclasses.fields(flags):
        value = getattr(flags, each.name)
        if each.name == "seed":
            parts["seed"] = value
        elif each.name not in ("task", "generator", "discriminator", "reward", "shaping"):
            parts[each.name] = type(getattr(default, each.name))(**vars(value))
    return dataclasses.replace(
        default,
        task=dataclasses.replace(
            default.task,
            **task,
            discriminator_kwargs=_settings(flags, "discriminator", default.task.discriminator_kwargs),
            reward_kwargs=_settings(flags, "reward", default.task.reward_kwargs),
            shaping_kwargs=_settings(flags, "shaping", default.task.shaping_kwargs),
        ),
        generator=GeneratorConfig(generator.pop("core"), generator),
        **parts,
    )


def _settings(flags: Any, part: str, default: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of a part that has flags, or those it had."""
    return dataclasses.asdict(getattr(flags, part)) if hasattr(flags, part) else default


def _help(name: str) -> str:
    """The meaning of a field of a task; of one that chooses from a registry, the registered names too."""
    registries: dict[str, Collection[str]] = {"reward": REWARDS, "discriminator": DISCRIMINATORS, "shaping": SHAPINGS}
    more = f" Registered: {', '.join(registries[name])}." if name in registries else ""
    more += " With - train reads standard input." if name == "source" else ""
    text = _plain_text(argument_meanings()[name])
    return f"{text[0].upper()}{text[1:]}{more}"


def _plain(hint: Any) -> Any:
    """A type without its functions, which no flag can give."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is collections.abc.Sequence:
        return Sequence[_plain(arguments[0])]  # type: ignore[misc]
    if origin not in (Union, types.UnionType):
        return hint
    kept = [_plain(each) for each in arguments if typing.get_origin(each) is not collections.abc.Callable]
    return Union[tuple(kept)]  # noqa: UP007 - of a list
