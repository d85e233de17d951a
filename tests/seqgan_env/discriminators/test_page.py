"""The page of the discriminators is made of the registry."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from seqgan_env.discriminators import DISCRIMINATORS, Discriminator, register_discriminator
from seqgan_env.discriminators.page import page


@dataclass(frozen=True)
class OwnConfig:
    """The settings of ``Own``."""

    depth: float = 0.5
    """Depth."""


class Own(Discriminator):
    """A discriminator of a user."""

    Config = OwnConfig

    def forward(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        return torch.zeros(len(tokens_BT))


@pytest.fixture
def _registered() -> Iterator[None]:
    register_discriminator("own", Own, summary="Nothing at all.", source="a test")
    yield
    DISCRIMINATORS.unregister("own")


def section(name: str) -> str:
    return page().split(f"\n## {name}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_every_kind_has_a_line_and_a_section(name: str) -> None:
    entry, text = DISCRIMINATORS[name], section(name)
    assert f"| [`{name}`](#{name}) | {entry.summary} | `{entry.kind.__name__}` |" in page()
    words = " ".join(text.split())
    for part in (entry.summary, entry.formula, entry.cost, entry.when, entry.source):
        assert part
        assert " ".join(part.split()) in words
    settings = {field.name: getattr(entry.kind.Config(), field.name) for field in dataclasses.fields(entry.kind.Config)}
    listed = dict(re.findall(r"\* `(\w+)=(.+?)`: \S", words))
    assert listed == {setting: repr(value) for setting, value in settings.items()}
    assert all(len(line) <= 120 for line in text.splitlines())


@pytest.mark.usefixtures("_registered")
def test_one_that_says_less_of_itself_is_on_it_too() -> None:
    assert section("own") == "\nNothing at all.\n\n**Settings.**\n\n* `depth=0.5`: Depth.\n\n**Source.** a test.\n"
