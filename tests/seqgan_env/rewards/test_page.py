"""The page of the rewards is made of the registry."""

from __future__ import annotations

import dataclasses

import pytest

from seqgan_env.rewards import REWARDS
from seqgan_env.rewards.page import page


@pytest.mark.parametrize("name", REWARDS)
def test_every_reward_has_a_line_and_its_settings(name: str) -> None:
    entry, text = REWARDS[name], page()
    (line,) = (line for line in text.splitlines() if line.startswith((f"| `{name}` |", f"| [`{name}`](#{name}) |")))
    for part in (entry.summary, entry.unit, entry.source):
        assert f"| {part} |" in line
    fields = dataclasses.fields(entry.config)
    assert (f"\n## {name}\n" in text) == bool(fields)
    section = text.split(f"\n## {name}\n")[-1].split("\n## ")[0]
    for field in fields:
        assert f"* `{field.name}={getattr(entry.config(), field.name)!r}`: " in section


@pytest.mark.parametrize(
    ("name", "expected"),
    [("log_d", "≤ 0"), ("neg_log_one_minus_d", "≥ 0"), ("d", "[0, 1]"), ("constant", "1"), ("log_ratio", "any")],
)
def test_ranges_are_written_as_people_write_them(name: str, expected: str) -> None:
    assert f"| `{name}` | {REWARDS[name].summary} | {expected} |" in page()
