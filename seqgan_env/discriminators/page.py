"""The documentation of the registered discriminators, made of their registrations and settings.

The page ``docs/discriminators.md`` is made by
``python -c "from seqgan_env.discriminators.page import page; print(page(), end='')"``.
"""

from __future__ import annotations

from seqgan_env.discriminators.embedded import Embedded
from seqgan_env.discriminators.losses import LOSSES
from seqgan_env.discriminators.registry import DISCRIMINATORS
from seqgan_env.setting_docs import settings_list, wrapped

_COST = wrapped(
    "**Costs** are multiplications of the score of a sequence of T tokens, E and H being the sizes of embedding "
    "and state. An update takes about three times that for each of its sequences. Measured seconds are those of a "
    "round on one core, 4,096 sequences of each kind to learn from and 4,096 to measure on, with a strong "
    "generator of the grammar and the sizes of `benchmarks/discriminators.py` (10,000 real sequences; "
    "`benchmarks/results/discriminators.json`)."
)


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
    return "\n\n".join([intro, table, _COST, _losses(), *map(_section, DISCRIMINATORS)]) + "\n"


def _losses() -> str:
    """The losses: their optima, and the meaning of the logit."""
    penalised = ", ".join(f"`{name}`" for name, each in DISCRIMINATORS.items() if issubclass(each.kind, Embedded))
    intro = wrapped(
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
    parts = [f"## {name}", wrapped(entry.summary)]
    if entry.formula:
        parts.append(f"```text\n{entry.formula}\n```")
    if entry.cost:
        parts.append(wrapped(f"**Cost.** {entry.cost}"))
    if entry.when:
        parts.append(wrapped(f"**When.** {entry.when}"))
    parts.append(settings_list(entry.kind.Config))
    parts.append(wrapped(f"**Source.** {entry.source}."))
    return "\n\n".join(parts)
