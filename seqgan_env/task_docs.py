"""The documentation of each registered task, and a class for each that carries it.

A task's text is the docstring of ``SeqGANEnv`` with the sizes filled in and what is particular to the task added to
the sections. Nothing is written twice: the arguments are those of ``TaskConfig``, the numbers the task's own. The page
``docs/tasks.md`` is made by ``python -c "from seqgan_env.task_docs import page; print(page(), end='')"``.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Mapping
from typing import Any

from seqgan_env.checks import check_arguments
from seqgan_env.env import SeqGANEnv
from seqgan_env.registration import TASKS, class_name
from seqgan_env.sources import SourceConfig
from seqgan_env.task import Task
from seqgan_env.task_config import TaskConfig
from seqgan_env.tokens import SequenceSpec

_ARGUMENT = re.compile(r"^    (\w+): (.+(?:\n {8}.+)*)", flags=re.MULTILINE)
"""An argument in a docstring of Google's form."""


@check_arguments
def describe(env_id: str) -> str:
    """All about a registered task, as Markdown, in the sections of Gymnasium's own environments.

    Args:
        env_id: a key of ``TASKS``.

    Raises:
        ValueError: it is none.
    """
    sections = _sections(env_id)
    sections["Arguments"] += "\n\n" + _arguments(TASKS[env_id].kwargs)
    return _joined(f"{env_id}: {TASKS[env_id].title}.", sections, level=2)


def page() -> str:
    """The content of ``docs/tasks.md``: every task, and the list of arguments once."""
    intro = (
        "# Tasks\n\n`import seqgan_env` registers these ids with Gymnasium. `gymnasium.make(env_id)` makes one\n"
        "environment, `gymnasium.make_vec(env_id, num_envs=64)` many at once, and any [argument](#all-arguments)\n"
        "can be changed there. `help(gymnasium.make(env_id).unwrapped)` and `seqgan_env.describe(env_id)` say\n"
        "what this page says.\n\n"
        "<!-- made by `seqgan_env.task_docs.page` -->"
    )
    head = "| id | what | V | T | real sequences | discriminator |\n|---|---|---:|---:|---:|---|\n"
    table = head + "\n".join(map(_row, TASKS))
    texts = [
        _joined(f"## {env_id}\n\n{task.title[0].upper()}{task.title[1:]}.", _sections(env_id), level=3)
        for env_id, task in TASKS.items()
    ]
    arguments = f"## All arguments\n\nWith the defaults of `SeqGANEnv`.\n\n{_arguments({})}\n"
    return "\n\n".join([intro, table, *texts, arguments])


class _Docstring:
    """A docstring that is written when it is read: it takes a task to be made, and few are read."""

    def __init__(self, env_id: str) -> None:
        self._env_id = env_id

    def __get__(self, instance: object, owner: type | None = None) -> str:
        return describe(self._env_id)


for _env_id in TASKS:  # each id makes a class of its own, so that `help` on an environment tells about its task
    _members = {"__module__": __name__, "__doc__": _Docstring(_env_id)}
    globals()[class_name(_env_id)] = type(class_name(_env_id), (SeqGANEnv,), _members)


def _sections(env_id: str) -> dict[str, str]:
    """The sections of a task's text by title, without the list of all arguments."""
    if env_id not in TASKS:
        raise ValueError(f"env_id must be one of {', '.join(TASKS)}; got {env_id!r}")
    task, own = _task(env_id), _own(env_id)
    sections = {}
    for title, common in _common().items():
        text = common if task is None else _with_sizes(common, task.spec)
        sections[title] = f"{text}\n\n{_wrapped(own[title])}" if title in own else text
    return sections


def _common() -> dict[str, str]:
    """The sections of the docstring of ``SeqGANEnv`` by title."""
    text = inspect.cleandoc(SeqGANEnv.__doc__ or "").partition("\n\nRaises:")[0].replace("``", "`")
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return {title: body.strip() for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def _with_sizes(text: str, spec: SequenceSpec) -> str:
    """The common text with the numbers in the place of V and T."""
    sizes = {"V": str(spec.vocab_size), "T": str(spec.max_length), "T + 1": str(spec.max_length + 1)}

    def fill(match: re.Match[str]) -> str:
        if match[0] == "T":
            return f"T = {spec.max_length}"
        return re.sub(r"\b(T \+ 1|T|V)\b", lambda size: sizes[size[0]], match[0])

    return re.sub(r"`[^`]*`|\bT\b", fill, text)


def _own(env_id: str) -> dict[str, str]:
    """A task's additions to the sections, by title."""
    registered, task = TASKS[env_id], _task(env_id)
    config = TaskConfig(**registered.kwargs)
    real = f"{config.n_real:,} real sequences to train on and {config.n_held_out:,} held out"
    if task is None:
        v, t, end, has_text = "V", "T", "0, `<eos>`", True
        sizes = f"There are at most {real}."
    else:
        spec, vocabulary = task.spec, task.source.vocabulary
        v, t, has_text = str(spec.vocab_size), str(spec.max_length), vocabulary is not None
        end = f"{spec.eos_id}, `{vocabulary.tokens[spec.eos_id]}`" if vocabulary and spec.eos_id is not None else ""
        n_parameters = sum(parameter.numel() for parameter in task.scoring.discriminator.parameters())
        n_sequences = "" if end else f", {_power(spec.vocab_size, spec.max_length)} sequences"
        sizes = f"V = {v} tokens, T = {t}{n_sequences}; {real}; {n_parameters:,} parameters of the discriminator."
    set_here = ", ".join(f"{k}={'...' if value is None else repr(value)}" for k, value in registered.kwargs.items())
    return {
        "Description": f"{registered.about} {sizes} To make an environment takes a fraction of a second: the "
        "discriminator and the real sequences are made when they are first needed.",
        "Action Space": f"Here the end-of-sequence token is {end}."
        if end
        else "Here there is no end-of-sequence token.",
        "Starting State": f"The empty prefix is observed as {t} times the id {v}. "
        + ("Tokens have text here." if has_text else "Tokens have no text here, so a prefix is ids."),
        "Rewards": f"`{config.reward}`, the default, is in nats and at most 0; a discriminator that cannot tell gives "
        f"log 1/2 = -0.69. {registered.rewards}".strip(),
        "Episode End": f"From the empty prefix an episode takes {f'1 to {t}' if end else t} steps.",
        "Arguments": f"This id is `SeqGANEnv({set_here})`.",
    }


def _task(env_id: str) -> Task | None:
    """The task, or None where its sizes depend on what the user must set."""
    kwargs = TASKS[env_id].kwargs
    return None if None in kwargs.values() else Task(TaskConfig(**kwargs))


def _arguments(kwargs: Mapping[str, Any]) -> str:
    """Every argument with its default, ``kwargs`` before the general one, in the words of ``TaskConfig``."""
    meanings = argument_meanings()
    lines = []
    for name, default in (dataclasses.asdict(TaskConfig()) | dict(kwargs)).items():
        head = f"`{name}`, required" if name in kwargs and default is None else f"`{name}={default!r}`"
        lines.append(_wrapped(f"* {head}: {meanings[name]}", "  "))
    modes = ", ".join(f'`"{mode}"`' for mode in SeqGANEnv.metadata["render_modes"])
    return "\n".join([*lines, f"* `render_mode=None`: what `render()` gives: {modes}; None is nothing."])


def argument_meanings() -> dict[str, str]:
    """The meaning of each field of ``TaskConfig``, from the docstrings."""
    texts = [inspect.cleandoc(config.__doc__ or "") for config in (SourceConfig, TaskConfig)]
    found = (argument for text in texts for argument in _ARGUMENT.findall(text))
    return {name: re.sub(r"\s+", " ", meaning).replace("``", "`") for name, meaning in found}


def _row(env_id: str) -> str:
    """A task's line in the table."""
    registered, task = TASKS[env_id], _task(env_id)
    config = TaskConfig(**registered.kwargs)
    v, t = ("of the file",) * 2 if task is None else (f"{task.spec.vocab_size:,}", str(task.spec.max_length))
    n_real = f"{'at most ' if task is None else ''}{config.n_real:,}"
    return f"| [`{env_id}`](#{env_id.lower()}) | {registered.title} | {v} | {t} | {n_real} | {config.discriminator} |"


def _joined(title: str, sections: Mapping[str, str], level: int) -> str:
    return "\n\n".join([title, *(f"{'#' * level} {name}\n{text}" for name, text in sections.items())])


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _power(base: int, exponent: int) -> str:
    """A power in digits where these are few, else as base and exponent."""
    return f"{base**exponent:,}" if base**exponent < 10**6 else f"{base:,}^{exponent}"
