"""The settings of a run: complete at construction, the same after a trip through a file, and refused where wrong."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.runs.config import (
    AdversaryConfig,
    AgentConfig,
    EvaluationConfig,
    GeneratorConfig,
    PretrainingConfig,
    RunConfig,
    RuntimeConfig,
)
from agents.runs.presets import PRESETS, get_preset, preset_for
from seqgan_env.discriminators import CNNDiscriminator, TabularDiscriminator
from seqgan_env.task_config import TaskConfig
from tests.support.reference_env import mean_token
from tests.support.runs import TINY, changed

PARTS = ("task", "generator", "pretraining", "adversary", "agent", "evaluation", "runtime")
TRANSFORMER = changed(
    TINY,
    generator={"core": "transformer", "kwargs": {"hidden_dim": 8, "n_heads": 2}},
    task={"reward_clip": [-10, None], "allowed_tokens": [1, 2, 3]},
    agent={"stratified": True, "final_learning_rate": 1e-4},
    seed=3,
)
SHAPED = changed(TINY, task={"shaping": ["length", "discriminator"], "shaping_kwargs": {"length": {"weight": 0.5}}})
CONFIGS = {**PRESETS, "tiny": TINY, "transformer": TRANSFORMER, "shaped": SHAPED}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


class TestFile:
    @every_config
    def test_the_settings_come_back_from_it(self, config: RunConfig, tmp_path: Path) -> None:
        config.save(tmp_path / "config.json")
        assert RunConfig.load(tmp_path / "config.json") == config

    @every_config
    def test_they_go_through_json_and_are_complete_in_it(self, config: RunConfig) -> None:
        plain = json.loads(json.dumps(config.to_dict()))
        assert RunConfig.from_dict(plain) == config
        assert set(plain) == {*PARTS, "seed"}
        for part in PARTS:
            assert set(plain[part]) == {field.name for field in dataclasses.fields(getattr(config, part))}

    @pytest.mark.parametrize("part", PARTS)
    def test_a_field_of_a_part_that_is_unknown_or_missing_is_refused(self, part: str) -> None:
        plain = TINY.to_dict()
        name = next(iter(plain[part]))
        for values in ({**plain[part], "n_legs": 4}, {k: v for k, v in plain[part].items() if k != name}):
            said = "n_legs" if "n_legs" in values else name
            with pytest.raises(ValueError, match=f"{part} has unknown or missing fields.*: {said}"):
                RunConfig.from_dict({**plain, part: values})
        with pytest.raises(ValueError, match=rf"{part} must be \w+Config, got 3"):
            RunConfig.from_dict({**plain, part: 3})

    @pytest.mark.parametrize("settings", [{}, {"length": {}}, {"length": {"weight": 0.5}, "discriminator": {}}])
    def test_settings_of_a_shaping_that_are_missing_or_of_none_are_refused(self, settings: dict[str, Any]) -> None:
        plain = SHAPED.to_dict()
        with pytest.raises(ValueError, match=r"task\.shaping_kwargs.* has unknown or missing fields"):
            RunConfig.from_dict({**plain, "task": {**plain["task"], "shaping_kwargs": settings}})

    @pytest.mark.parametrize("name", [*PARTS, "seed"])
    def test_a_missing_part_is_refused(self, name: str) -> None:
        plain = TINY.to_dict()
        del plain[name]
        with pytest.raises(ValueError, match=f"a run has unknown or missing fields.*: {name}"):
            RunConfig.from_dict(plain)

    def test_an_unknown_part_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"a run has unknown or missing fields.*: n_updates"):
            RunConfig.from_dict({**TINY.to_dict(), "n_updates": 3})

    @pytest.mark.parametrize(
        ("damage", "said"),
        [
            (lambda text: "", "Expecting value"),
            (lambda text: text[: len(text) // 2], "Expecting|delimiter|Unterminated"),
            (lambda text: "[1, 2]", "a run must have task, generator, .*; got \\[1, 2\\]"),
            (lambda text: text.replace('"n_updates": 6', '"n_updates": -6'), "n_updates must be"),
            (lambda text: text.replace('"n_updates": 6', '"n_updates": "six"'), "n_updates must be"),
            (lambda text: text.replace('"lstm"', '"mlp"'), "core must be one of"),
            (lambda text: text.replace('"log_d"', '"praise"'), "reward must be one of"),
        ],
        ids=["empty", "cut", "list", "range", "type", "core", "reward"],
    )
    def test_a_damaged_file_is_refused(self, damage: Callable[[str], str], said: str, tmp_path: Path) -> None:
        path = tmp_path / "config.json"
        TINY.save(path)
        path.write_text(damage(path.read_text()))
        with pytest.raises(ValueError, match=rf"config\.json is not a readable configuration: .*({said})"):
            RunConfig.load(path)

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"none\.json is not a readable configuration"):
            RunConfig.load(tmp_path / "none.json")


class TestCompletion:
    """What is not given is written out, so that the same settings are equal however they were given."""

    def test_of_the_core(self) -> None:
        sizes = {
            "embedding_dim": 32,
            "hidden_dim": 32,
            "dropout": 0.1,
            "variational": False,
            "embedding_std": 0.1,
            "n_layers": 1,
        }
        assert GeneratorConfig().kwargs == sizes
        assert GeneratorConfig() == GeneratorConfig("lstm", {"hidden_dim": 32})
        assert {"n_heads", "n_layers"} < set(GeneratorConfig("transformer").kwargs)

    def test_of_the_discriminator(self) -> None:
        for name, kind in (("cnn", CNNDiscriminator), ("tabular", TabularDiscriminator)):
            config = RunConfig(TaskConfig(vocab_size=4, max_length=4, discriminator=name))
            given = json.loads(json.dumps(dataclasses.asdict(kind.Config())))
            assert config.task.discriminator_kwargs == given
            assert config == RunConfig(
                TaskConfig(vocab_size=4, max_length=4, discriminator=name, discriminator_kwargs=given)
            )

    def test_of_the_environment(self) -> None:
        config = changed(TINY, seed=7)
        assert config.env_kwargs == {**config.task.kwargs, "device": "cpu", "discriminator_seed": 7}


@pytest.mark.parametrize(
    ("reward", "shaping", "settings", "needed"),
    [
        ("log_d", "none", {}, "trained"),
        ("constant", "none", {}, "none"),
        ("constant", ["length", "increments"], {}, "trained"),
        ("constant", "increments", {"increments": {"of": "reward"}}, "none"),
        ("constant", ["discriminator", "prefix"], {}, "none"),
        ("exact_log_ratio", "increments", {}, "exact"),
    ],
)
def test_a_run_trains_the_discriminator_that_the_reward_or_the_shaping_asks(
    reward: str, shaping: Any, settings: dict[str, Any], needed: str
) -> None:
    config = changed(TINY, task={"reward": reward, "shaping": shaping, "shaping_kwargs": settings})
    assert (config.is_adversarial, config.is_exact) == (needed == "trained", needed == "exact")
    exact = changed(config, adversary={"exact": True})
    assert (exact.is_adversarial, exact.is_exact) == (False, needed != "none")


class TestRefused:
    @pytest.mark.parametrize(
        ("task", "message"),
        [
            ({"device": "cuda:1"}, "device"),
            ({"discriminator_seed": 1}, "a run's discriminator_seed is its seed; leave that of the task at 0"),
            ({"shaping": mean_token}, "a run's shaping must be given by its name, 'module:function'"),
            ({"shaping": ["length", mean_token]}, "a run's shaping must be given by its name, 'module:function'"),
            (
                {"shaping": "length", "shaping_kwargs": {"prefix": {}}},
                "shaping_kwargs must be .*; got prefix",
            ),
            ({"allowed_next": mean_token}, "a run's allowed_next must be given by its name, 'module:function'"),
            ({"n_held_out": 1}, "n_held_out must be at least 2, got 1"),
            ({"discriminator_kwargs": {"n_legs": 4}}, "discriminator 'cnn' takes embedding_dim, .*; got n_legs"),
            ({"discriminator_kwargs": {"dropout": 1.0}}, r"dropout must be a finite number in \[0, 1\)"),
        ],
    )
    def test_a_task_that_is_no_run_s(self, task: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            changed(TINY, task=task)

    def test_a_device_of_the_task(self) -> None:
        with pytest.raises(ValueError, match=r"a run's device is its runtime\.device; leave that of the task at 'cpu'"):
            changed(TINY, task={"device": "auto"})

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: RunConfig(seed=-1), r"seed must be a whole number in \[0, 4294967295\], got -1"),
            (lambda: GeneratorConfig("mlp"), "core must be one of lstm, gru, attention, transformer; got 'mlp'"),
            (
                lambda: GeneratorConfig("gru", {"n_heads": 2}),
                "core 'gru' takes embedding_dim, hidden_dim, dropout, variational, embedding_std, n_layers; got n_h",
            ),
            (lambda: GeneratorConfig("gru", {"hidden_dim": 0}), "hidden_dim must be a whole number of at least 1"),
            (lambda: PretrainingConfig(n_epochs=-1), "n_epochs must be a whole number of at least 0"),
            (lambda: PretrainingConfig(patience=0), "patience must be a whole number of at least 1"),
            (lambda: PretrainingConfig(learning_rate=0.0), "learning_rate must be a finite number above 0"),
            (lambda: AdversaryConfig(n_rounds=-1), "n_rounds must be a whole number of at least 0"),
            (lambda: AdversaryConfig(every_n_episodes=0), "every_n_episodes must be a whole number of at least 1"),
            (lambda: AdversaryConfig(n_generated=0), "n_generated must be a whole number of at least 1"),
            (lambda: AgentConfig(n_updates=-1), "n_updates must be a whole number of at least 0"),
            (lambda: AgentConfig(n_episodes=0), "n_episodes must be a whole number of at least 1"),
            (lambda: AgentConfig(final_learning_rate=0.0), "final_learning_rate must be a finite number above 0"),
            (lambda: AgentConfig(max_grad_norm=float("inf")), "max_grad_norm must be a finite number above 0"),
            (lambda: AgentConfig(n_completions=-1), "n_completions must be a whole number in"),
            (lambda: AgentConfig(baseline="mean"), "baseline must be one of"),
            (lambda: EvaluationConfig(every=0), "every must be a whole number of at least 1"),
            (lambda: EvaluationConfig(n=0), "n must be a whole number of at least 1"),
            (
                lambda: EvaluationConfig(metrics=("txt",)),
                "metrics must be one of temperatures, text, text_temperatures, language_model",
            ),
            (lambda: RuntimeConfig(n_threads=0), r"n_threads must be a whole number in \[1, 1024\] or None, got 0"),
            (lambda: RuntimeConfig(device="tpu9"), "device must be"),
            (lambda: RuntimeConfig(matmul_precision="double"), "matmul_precision must be one of None, highest"),
        ],
    )
    def test_a_value_out_of_range(self, make: Callable[[], Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            make()


def test_the_step_size_falls_linearly_to_the_last_update() -> None:
    config = AgentConfig(n_updates=5, learning_rate=0.5, final_learning_rate=0.1)
    assert [config.step_size(n) for n in range(7)] == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1])
    assert {AgentConfig(n_updates=5, learning_rate=0.5).step_size(n) for n in range(7)} == {0.5}


def test_presets_suit_their_sources_and_others_are_refused() -> None:
    assert [preset_for(s) for s in ("grammar", "oracle", "target.pkl", "novel.txt")] == [
        "grammar",
        "paper",
        "paper",
        "text",
    ]
    with pytest.raises(ValueError, match=r"preset must be one of grammar, demo, searched, .* ratio; got 'huge'"):
        get_preset("huge")


def test_parts_are_changed_one_after_the_other() -> None:
    config = RunConfig().changed({"agent": {"n_updates": 3, "n_episodes": 5}}, {"agent": {"n_updates": 4}}, {})
    assert (config.agent.n_updates, config.agent.n_episodes) == (4, 5)
    assert dataclasses.replace(config, agent=RunConfig().agent) == RunConfig()
    with pytest.raises(ValueError, match="n_updates must be a whole number"):
        RunConfig().changed({"agent": {"n_updates": -1}})
