"""The documentation of the registered rewards, made of their registrations and settings.

The page ``docs/rewards.md`` is made by ``python -c "from seqgan_env.rewards.page import page; print(page(), end='')"``.
"""

from __future__ import annotations

import math

from seqgan_env.checks import NoConfig
from seqgan_env.rewards import REWARDS, RewardEntry
from seqgan_env.setting_docs import settings_list, wrapped

_NEEDS = {"trained": "one that learns", "exact": "the optimal one", "none": "none"}


def page() -> str:
    """The content of ``docs/rewards.md``: a line of a table for each registered reward, and the settings of each."""
    intro = wrapped(
        "A reward is paid at the end of a sequence and chosen by name: "
        "`gymnasium.make(env_id, reward=name, reward_kwargs={...})` or `seqgan train --reward name`, where the "
        "settings are flags such as `--reward.log-weight`. `D` is the sigmoid of the discriminator's logit. A "
        "function of the logits and the tokens is a reward too, as itself or by its name, `module:function`; "
        "[extending.md](extending.md) shows how to register one. `reward_clip=[low, high]` cuts any of them off. A "
        "discriminator trained with the loss `wasserstein` is a critic, whose reward is its logit, `log_ratio`."
    )
    head = "| name | what | range | unit | discriminator | source |\n|---|---|---|---|---|---|\n"
    table = head + "\n".join(_row(name, entry) for name, entry in REWARDS.items())
    sections = [
        f"## {name}\n\n{wrapped(entry.summary)}\n\n{settings_list(entry.config)}"
        for name, entry in REWARDS.items()
        if entry.config is not NoConfig
    ]
    made = "<!-- made by `seqgan_env.rewards.page.page` -->"
    return "\n\n".join(["# Rewards", intro, made, table, *sections]) + "\n"


def _row(name: str, entry: RewardEntry) -> str:
    """A reward's line in the table."""
    linked = f"`{name}`" if entry.config is NoConfig else f"[`{name}`](#{name})"
    needs = _NEEDS[entry.discriminator] + (
        "; a known likelihood" if entry.needs_likelihood and entry.discriminator == "none" else ""
    )
    return f"| {linked} | {entry.summary} | {_range(entry)} | {entry.unit} | {needs} | {entry.source} |"


def _range(entry: RewardEntry) -> str:
    """The declared range as people write it."""
    low, high = ("" if math.isinf(limit) else f"{limit:g}" for limit in (entry.low, entry.high))
    if low and high:
        return low if low == high else f"[{low}, {high}]"
    return f"≥ {low}" if low else f"≤ {high}" if high else "any"
