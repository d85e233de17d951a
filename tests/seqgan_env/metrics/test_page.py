"""The page of the metrics is made of the registry."""

from __future__ import annotations

import pytest

from seqgan_env.metrics import METRICS, columns
from seqgan_env.metrics.page import page


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_who_has_it_and_what_its_columns_are(name: str) -> None:
    entry, section = METRICS[name], page().split(f"\n## {name}\n\n")[1].split("\n## ")[0]
    asked = "In every evaluation." if entry.group is None else f"Group `{entry.group}`."
    assert section.startswith(f"{asked}\n")
    assert "Args:" not in section
    for field, column in entry.metric.columns.items():
        assert f"| `{field}` | {column.help} | {column.unit} | " in section


def test_the_curve_is_drawn_of_columns_that_there_are() -> None:
    code = page().split("```python\n")[1].split("```")[0]
    compile(code, "curve", "exec")
    assert {field for field in columns() if f'r["{field}"]' in code} == {"bleu_4", "self_bleu_4"}
