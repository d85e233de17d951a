"""Settings in the documentation: the strings below the fields of a dataclass."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from seqgan_env.setting_docs import setting_meanings, settings_list, wrapped


@dataclass(frozen=True)
class BaseConfig:
    """Settings that another class extends."""

    width: int = 3
    """Width, in ``tokens``,
    of something."""
    height: int = 2


@dataclass(frozen=True)
class OwnConfig(BaseConfig):
    """The settings of something of a user."""

    depth: float = 0.5
    """Depth."""


def test_settings_without_a_file_have_no_meanings() -> None:
    made = dataclasses.make_dataclass("Made", [("size", int, dataclasses.field(default=1))])
    assert setting_meanings(made) == {"size": ""}
    assert setting_meanings(OwnConfig) == {
        "width": "Width, in `tokens`, of something.",
        "height": "",
        "depth": "Depth.",
    }


def test_the_list_has_defaults_and_meanings() -> None:
    assert settings_list(OwnConfig) == (
        "**Settings.**\n\n* `width=3`: Width, in `tokens`, of something.\n* `height=2`\n* `depth=0.5`: Depth."
    )
    assert settings_list(dataclasses.make_dataclass("Empty", [])) == "**Settings.** None."


def test_a_long_paragraph_is_cut_at_blanks() -> None:
    text = "word " * 60
    assert [len(line) <= 120 for line in wrapped(text, "  ").splitlines()] == [True] * 3
    assert wrapped(text, "  ").splitlines()[1].startswith("  word")
