"""The documentation of the registered discriminators, made of their registrations and settings.

The page ``docs/discriminators.md`` is made by
``python -c "from seqgan_env.discriminators.page import page; print(page(), end='')"``.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
from typing import Any

from seqgan_env.discriminators.embedded import Embedded
from seqgan_env.discriminators.losses import LOSSES
from seqgan_env.discriminators.registry import DISCRIMINATORS

_WIDTH = 120


def page() -> str:
    """The content of ``docs/discriminators.md``: a line of a table and a section for each registered kind."""
    intro = (
        "# Discriminators\n\n"
        "A discriminator is chosen by name: `gymnasium.make(env_id, discriminator=name, discriminator_kwargs={...})`\n"
        "or `seqgan train --discriminator name`, where the settings are flags such as `--discriminator.dropout`.\n"
        "`D(Y)` is the sigmoid of the logit, and real is label 1. [extending.md](extending.md) shows how to register\n"
        "another one.\n\n"
        "<!-- made by `seqgan_env.discriminators.page.page` -->"
    )
    head = "| name | what | class |\n|---|---|---|\n"
    table = head + "\n".join(map(_row, DISCRIMINATORS))
    return "\n\n".join([intro, table, _losses(), *map(_section, DISCRIMINATORS)]) + "\n"


def setting_meanings(config: type[Any]) -> dict[str, str]:
    """The meaning of each field of a dataclass: the string below it in the source, empty where there is none.

    Args:
        config: the dataclass; the fields of its bases are looked up there.
    """
    meanings = {field.name: "" for field in dataclasses.fields(config)}
    for base in reversed(config.__mro__):
        if dataclasses.is_dataclass(base):
            meanings |= _strings_below_fields(base)
    return meanings


def _strings_below_fields(config: type[Any]) -> dict[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(config))
    except (OSError, TypeError):  # made where there is no file, such as a prompt
        return {}
    (definition,) = ast.parse(source).body
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    found = {}
    for field, below in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            text = ast.literal_eval(below.value) if isinstance(below.value, ast.Constant) else ""
            found[field.target.id] = " ".join(str(text).split()).replace("``", "`")
    return found


def _losses() -> str:
    """The losses: their optima, and the meaning of the logit."""
    penalised = ", ".join(f"`{name}`" for name, each in DISCRIMINATORS.items() if issubclass(each.kind, Embedded))
    intro = _wrapped(
        "**Losses.** `DiscriminatorTrainer(loss=name)` or `--adversary.loss name`. Rewards in `D`, such as `log_d`, "
        "mean what their name says only where the logit is log-odds: elsewhere `sigmoid(logit)` is no probability, "
        "and the reward that fits is the logit itself, `log_ratio`. p is the distribution of real sequences, G that of "
        f"generated ones. A `gradient_penalty`, which `wasserstein` needs, can be had with {penalised}, and with "
        "ensembles of these."
    )
    head = "| loss | optimum, the logit of Y | the logit is | source |\n|---|---|---|---|\n"
    rows = (f"| `{name}` | {each.optimum} | {each.logit} | {each.source} |" for name, each in LOSSES.items())
    return intro + "\n\n" + head + "\n".join(rows)


def _row(name: str) -> str:
    """A kind's line in the table."""
    entry = DISCRIMINATORS[name]
    return f"| [`{name}`](#{name.lower()}) | {entry.summary} | `{entry.kind.__name__}` |"


def _section(name: str) -> str:
    """All about a kind."""
    entry = DISCRIMINATORS[name]
    parts = [f"## {name}", _wrapped(entry.summary)]
    if entry.formula:
        parts.append(f"```text\n{entry.formula}\n```")
    if entry.when:
        parts.append(_wrapped(f"**When.** {entry.when}"))
    settings = entry.kind.Config()
    meanings = setting_meanings(entry.kind.Config)
    lines = [
        _wrapped(f"* `{field.name}={getattr(settings, field.name)!r}`: {meanings[field.name]}".rstrip(": "), "  ")
        for field in dataclasses.fields(settings)
    ]
    parts.append("**Settings.**" + ("\n\n" + "\n".join(lines) if lines else " None."))
    parts.append(_wrapped(f"**Source.** {entry.source}."))
    return "\n\n".join(parts)


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
