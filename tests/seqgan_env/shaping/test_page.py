"""The page of the shapings is made of the registry."""

from __future__ import annotations

import dataclasses

import pytest

from seqgan_env.shaping import SHAPINGS
from seqgan_env.shaping.page import page


@pytest.mark.parametrize("name", SHAPINGS)
def test_every_shaping_has_a_line_and_its_settings(name: str) -> None:
    entry, text = SHAPINGS[name], page()
    (line,) = (line for line in text.splitlines() if line.startswith(f"| [`{name}`](#{name}) |"))
    keeps = "yes" if entry.keeps_optimal_policy else "no"
    for part in (f"`{entry.formula}`", keeps, entry.length_effect, entry.unit, entry.source):
        assert f"| {part} |" in line
    section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
    said = " ".join(section.split())
    assert entry.summary in said
    assert entry.length_reason in said
    for field in dataclasses.fields(entry.config):
        assert f"* `{field.name}={getattr(entry.config(), field.name)!r}`: " in section
