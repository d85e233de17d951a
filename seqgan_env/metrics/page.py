"""The documentation of the registered metrics, made of their columns and docstrings.

The page ``docs/metrics.md`` is made by ``python -c "from seqgan_env.metrics.page import page; print(page(), end='')"``.
"""

from __future__ import annotations

import inspect

from seqgan_env.metrics import METRICS, MetricEntry
from seqgan_env.setting_docs import wrapped

_CURVE = """\
## Quality against diversity

A temperature buys quality with diversity, so that one number of each says little. A run measures the generator at nine
temperatures from 1.2 to 0.4, after maximum likelihood and at its end, and its report draws the curves: `nll_oracle` and
`nll_test` where the source's likelihood is known, `bleu_4` and `self_bleu_4` with the group `text`, `lm_forward` and
`lm_reverse` with `language_model`. These are eighteen evaluations with every group that the run was asked for: half a
minute with `text` and 2,000 sequences of 20 words, a minute with 5,000, and with `language_model` a quarter of an hour
on one core.

Compare curves, on the same number of sequences for every generator: here one that lies above another is better,
whatever one wants more of.

```python
from agents.runs.evaluation import evaluate_run
from matplotlib import pyplot

for run in ("runs/captions", "runs/other"):
    records = [evaluate_run(run, 2_000, t, metrics=["text"]) for t in (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)]
    pyplot.plot([1 - r["self_bleu_4"] for r in records], [r["bleu_4"] for r in records], "o-", label=run)
pyplot.xlabel("diversity: 1 - Self-BLEU-4")
pyplot.ylabel("quality: BLEU-4")
pyplot.legend()
pyplot.savefig("curve.png")
```

In a shell, `seqgan evaluate runs/captions -n 2000 --temperature 0.6 0.8 1.0 --metrics text` prints such rows. BLEU
and Self-BLEU see n-grams alone: a generator that shuffles the training set's phrases has good figures of both. Look at
`nll_test`, `copied_span` and the sentences themselves too."""


def page() -> str:
    """The content of ``docs/metrics.md``: a section on each registered metric, and the curve of two of them."""
    intro = wrapped(
        "Every evaluation of a run has the metrics that apply to its source; those of a group are measured where they "
        "are asked for: by `seqgan evaluate RUN --metrics text`, `temperatures` or `text_temperatures`, which take "
        "seconds, `--metrics text language_model`, which takes minutes, or `seqgan train --evaluation.metrics text` in "
        "each evaluation of a run, its report and TensorBoard. They take any sequences of tokens, and say most of "
        "those that are text. "
        "Figures are comparable where the numbers of sequences, `-n`, and the cut into tokens are equal. "
        "[extending.md](extending.md) shows how to register one of your own."
    )
    made = "<!-- made by `seqgan_env.metrics.page.page` -->"
    return "\n\n".join(["# Metrics", intro, made, *map(_section, METRICS, METRICS.values()), _CURVE]) + "\n"


def _section(name: str, entry: MetricEntry) -> str:
    """The definition of a metric, and a table of its columns."""
    asked = "In every evaluation." if entry.group is None else f"Group `{entry.group}`."
    text = inspect.cleandoc(entry.metric.__doc__ or "").split("\n\nArgs:")[0].replace("``", "`")
    paragraphs = [wrapped(" ".join(paragraph.split())) for paragraph in text.split("\n\n")]
    head = "| column | what | unit | better |\n|---|---|---|---|\n"
    rows = [
        f"| `{field}` | {column.help} | {column.unit} | {'' if column.better == 'neither' else column.better} |"
        for field, column in entry.metric.columns.items()
    ]
    return "\n\n".join([f"## {name}", asked, *paragraphs, head + "\n".join(rows)])
