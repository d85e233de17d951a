"""Metrics by name: their columns, what they declare, and one of a user."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from seqgan_env.metrics import (
    METRICS,
    Column,
    EvaluationBatch,
    columns,
    columns_of_role,
    likelihood_metrics,
    measure,
    metric_groups,
    register_metric,
)
from seqgan_env.metrics.base import trade_offs
from tests.support.sources import tiny_oracle

LENGTH = Column("mean length", "tokens", "neither", "mean length of generated sequences")
QUALITY = replace(LENGTH, role="quality")
SHIPPED = [
    "nll_oracle",
    "nll_test",
    "entropy",
    "kl_forward",
    "kl_reverse",
    "kl_sum",
    "jensen_shannon",
    *(f"{name}_se" for name in ("nll_oracle", "nll_test", "entropy", "kl_forward", "kl_reverse", "kl_sum")),
    "kl_sum_best",
    "temperature_best",
    "grammatical",
    "distinct",
    "tokens_used",
    *(f"bleu_{n}" for n in (2, 3, 4, 5)),
    *(f"self_bleu_{n}" for n in (2, 3, 4, 5)),
    "bleu_references",
    "self_bleu_references",
    "bleu_smoothing",
    "bleu_protocol",
    "bleu_4_real",
    "self_bleu_4_real",
    "real_sequences",
    "real_protocol",
    "copied_span",
    "copied",
    *(f"distinct_{n}" for n in (1, 2, 3, 4)),
    *(f"js_{n}" for n in (1, 2, 3)),
    "zipf",
    "zipf_error",
    "length_distance",
    "lm_forward",
    "lm_reverse",
    "lm_real",
    "frechet",
    "precision",
    "recall",
    "lm_sequences",
    "lm_protocol",
    "feature_fit",
    "feature_sequences",
    "feature_neighbours",
    "feature_protocol",
    "discriminator_accuracy",
    "discriminator_log_loss",
    "discriminator_calibration_error",
    "optimal_accuracy",
    "optimal_log_loss",
    "optimal_calibration_error",
    "discriminator_share_of_optimum",
    "discriminator_correlation",
]


class Length:
    """A metric of a user, with a column of its choice and an answer of its choice."""

    def __init__(self, answer: str = "length", **declared: Column) -> None:
        self.columns = declared or {"length": LENGTH}
        self.answer = answer

    def __call__(self, batch: EvaluationBatch) -> dict[str, float]:
        return {self.answer: float(batch.source.spec.lengths(batch.generated_BT).mean())}


@pytest.fixture
def _unregistered() -> Iterator[None]:
    """Takes the metric ``length`` away in the end."""
    yield
    if "length" in METRICS:
        METRICS.unregister("length")


@pytest.fixture
def batch() -> EvaluationBatch:
    source, generator = tiny_oracle(), tiny_oracle(seed=1)
    rng = np.random.default_rng(0)
    return EvaluationBatch(source, source.sample(30, rng), generator.sample(40, rng), generator.log_prob)


def test_the_columns_are_those_of_all_metrics_in_their_order() -> None:
    assert list(columns()) == SHIPPED


def test_each_column_says_what_it_is() -> None:
    for column in columns().values():
        assert column.unit
        assert column.help
        assert not column.help.endswith(".")
        assert "\n" not in column.label
        assert column.narrow.count("\n") <= 1


def test_columns_are_found_by_their_role() -> None:
    assert columns_of_role("quality") == ["nll_oracle", "bleu_4", "lm_forward"]
    assert columns_of_role("diversity") == ["nll_test", "self_bleu_4", "lm_reverse"]
    assert trade_offs() == [("nll_oracle", "nll_test"), ("bleu_4", "self_bleu_4"), ("lm_forward", "lm_reverse")]
    assert columns_of_role("overall") == ["kl_sum"]
    assert columns_of_role("overall", "discriminator") == ["discriminator_log_loss"]


class TestMeasure:
    def test_each_metric_that_applies_gives_its_numbers(self, batch: EvaluationBatch) -> None:
        measured = measure(batch)
        expected = likelihood_metrics(batch.source, batch.test_BT, batch.generated_BT, batch.log_prob)
        assert {name: measured[name] for name in expected} == expected
        assert measured["distinct"] == len({tuple(row) for row in batch.generated_BT.tolist()}) / 40
        assert set(measured) == {*expected, "distinct", "tokens_used"}
        assert all(type(number) is float for number in measured.values())

    def test_the_likelihood_of_real_sequences_is_taken_as_it_is_given(self, batch: EvaluationBatch) -> None:
        given_B = batch.log_prob(batch.test_BT)  # as if the generator were the source
        assert measure(replace(batch, source_test_B=given_B))["kl_forward"] == 0


@pytest.mark.usefixtures("_unregistered")
class TestOnRequest:
    def test_a_group_is_measured_where_it_is_asked_for(self, batch: EvaluationBatch) -> None:
        before = measure(batch)
        register_metric("length", Length(), group="own")
        assert metric_groups() == ["temperatures", "text", "text_temperatures", "language_model", "own"]
        assert measure(batch) == before
        assert measure(batch, ["own"]) == before | {"length": 3.0}
        assert measure(batch, ["own", "text", "own"]) == measure(batch, ["text"]) | {"length": 3.0}

    def test_the_columns_of_a_group_are_known_in_any_case(self) -> None:
        register_metric("length", Length(), group="own")
        assert columns()["length"] is LENGTH

    @pytest.mark.parametrize("group", ["txt", "overlap", "", None])
    def test_an_unknown_group_is_refused_before_anything_is_measured(self, batch: EvaluationBatch, group: Any) -> None:
        untouchable = replace(batch, log_prob=lambda tokens: pytest.fail("measured"))
        known = "temperatures, text, text_temperatures, language_model"
        with pytest.raises(ValueError, match=f"metrics must be one of {known}; got {group!r}"):
            measure(untouchable, ["text", group])

    @pytest.mark.parametrize("group", ["", "a group", 3])
    def test_a_group_without_a_name_is_refused(self, group: Any) -> None:
        with pytest.raises(ValueError, match="the group of metric 'length' must be an identifier or None"):
            register_metric("length", Length(), group=group)
        assert "length" not in METRICS


@pytest.mark.usefixtures("_unregistered")
class TestRegister:
    def test_a_metric_of_a_user_is_measured_after_the_others(self, batch: EvaluationBatch) -> None:
        before = measure(batch)
        register_metric("length", Length())
        assert measure(batch) == before | {"length": 3.0}
        assert list(measure(batch)) == [*before, "length"]
        assert list(columns()) == [*SHIPPED, "length"]
        assert columns()["length"] is LENGTH

    def test_a_field_that_was_not_declared_is_refused(self, batch: EvaluationBatch) -> None:
        register_metric("length", Length(answer="size"))
        with pytest.raises(ValueError, match="metric 'length' must declare its columns, got size"):
            measure(batch)

    @pytest.mark.parametrize("field", SHIPPED)
    def test_a_column_of_another_metric_is_refused(self, field: str) -> None:
        with pytest.raises(ValueError, match=f"metric 'length' has the column '{field}' of another metric"):
            register_metric("length", Length(**{field: LENGTH}))
        assert "length" not in METRICS

    def test_a_metric_is_registered_once(self) -> None:
        register_metric("length", Length())
        with pytest.raises(ValueError, match="metric 'length' has the column 'length' of another metric"):
            register_metric("length", Length())
        with pytest.raises(ValueError, match="a metric named 'length' is registered already"):
            register_metric("length", Length(size=LENGTH))
        assert list(columns()) == [*SHIPPED, "length"]

    @pytest.mark.parametrize("missing", [{"label": ""}, {"unit": " "}, {"help": "\n"}])
    def test_a_column_that_does_not_say_what_it_is_is_refused(self, missing: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="column 'length' of metric 'length' must declare label, unit and help"):
            register_metric("length", Length(length=replace(LENGTH, **missing)))
        assert "length" not in METRICS


class Giving:
    """A metric with one column that gives what it is told to."""

    def __init__(self, values: Any, field: str = "own", **column: Any) -> None:
        self.values = values
        settings: dict[str, Any] = {"label": "own", "unit": "tokens", "better": "neither", "help": "a number", **column}
        self.columns = {field: Column(**settings)}

    def __call__(self, batch: EvaluationBatch) -> Any:
        return self.values


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (Giving({}, "phase"), "column 'phase', which is reserved"),
        (Giving({}, "loss"), "column 'loss', which is reserved"),
        (Giving({}, better="up"), "better must be one of lower, higher, neither; got 'up'"),
        (Giving({}, subject="nobody"), "subject must be one of generator, discriminator; got 'nobody'"),
        (Giving({}, role="best"), "role must be one of"),
        (Giving({}, role="overall"), "has the role 'overall', which is taken"),
        (Giving({}, role="quality"), "metric 'own' must have one quality and one diversity, or neither, got quality"),
        (Giving({}, role="diversity"), "must have one quality and one diversity, or neither, got diversity"),
        (Length(a=QUALITY, b=QUALITY), "must have one quality and one diversity, or neither, got quality, quality"),
        (Giving({}, in_tables=False, narrow="own"), "column 'own' is in no table, so narrow must be empty, got 'own'"),
        (Giving, "must be an object with columns"),
        (lambda batch: {}, "must be an object with columns"),
    ],
)
def test_a_metric_that_would_spoil_an_evaluation_is_refused(metric: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        register_metric("own", metric)
    assert "own" not in METRICS


@pytest.mark.parametrize("value", [3, np.float32(3), np.float64(3), torch.tensor(3.0)])
def test_numbers_of_every_library_become_floats(batch: EvaluationBatch, value: Any) -> None:
    register_metric("own", Giving({"own": value}))
    try:
        assert measure(batch)["own"] == 3.0
        assert type(measure(batch)["own"]) is float
    finally:
        METRICS.unregister("own")


@pytest.mark.parametrize(
    ("values", "message"),
    [(3.0, "must give its fields by name"), ({"own": "3"}, "must give numbers"), ({"own": None}, "must give numbers")],
)
def test_what_is_no_number_is_refused_by_the_metrics_name(batch: EvaluationBatch, values: Any, message: str) -> None:
    register_metric("own", Giving(values))
    try:
        with pytest.raises(ValueError, match=f"metric 'own' {message}"):
            measure(batch)
    finally:
        METRICS.unregister("own")
