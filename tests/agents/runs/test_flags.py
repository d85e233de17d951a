"""An option of a part is a flag of the command line, and what the flags say is what is run."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agents import cli
from agents.cli import training
from agents.runs.config import RunConfig
from agents.runs.flags import flag_with
from agents.runs.presets import PRESETS
from agents.runs.search_space import with_settings
from seqgan_env.autoregressive import CORES, CoreConfig, register_core
from seqgan_env.autoregressive.recurrent import GruCore
from seqgan_env.task import Task
from tests.support.runs import TINY, changed, flags_of

SMALL = PRESETS["small"]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The settings that a command line asks for; nothing is run."""
    asked: list[RunConfig] = []
    monkeypatch.setattr(training.Train, "run", lambda self, config: asked.append(config))

    def parse(*flags: str) -> RunConfig:
        if status := cli.main(["train", *flags]):
            raise SystemExit(status)
        return asked[-1]

    return parse


@dataclass(frozen=True)
class OwnConfig(CoreConfig):
    """The settings of a core of one's own."""

    n_legs: int = 4
    """How many it has."""


class Own(GruCore):
    """A core of one's own."""

    Config = OwnConfig


@pytest.fixture
def _with_own_core() -> Iterator[None]:
    register_core("own", Own)
    yield
    CORES.unregister("own")


def test_no_flags_are_the_preset(parsed: Any) -> None:
    assert parsed() == PRESETS["grammar"]
    for name, preset in PRESETS.items():
        assert parsed("--preset", name) == preset
    assert parsed("--source", "oracle") == PRESETS["paper"]
    assert parsed("--source", "novel.txt") == changed(PRESETS["text"], task={"source": "novel.txt"})


@pytest.mark.parametrize("flags", [["--preset", "text"], []])
def test_ids_have_no_use_for_the_least_count_of_words(flags: list[str], parsed: Any, tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("1 2\n2 1\n")
    config = parsed(*flags, "--source", str(path), "--level", "ids")
    assert config == changed(PRESETS["text"], task={"source": str(path), "level": "ids", "min_count": None})
    assert Task(config.task).spec.vocab_size == 3
    assert parsed("--source", "a", "--level", "ids", "--min-count", "3").task.min_count == 3


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        changed(TINY, agent={"stratified": True, "normalize_advantage": False, "final_learning_rate": 1e-4}, seed=3),
        changed(TINY, generator={"core": "attention", "kwargs": {"hidden_dim": 5}}, task={"reward": "d"}),
        changed(TINY, task={"shaping": "increments", "shaping_kwargs": {"increments": {"of": "reward"}}}),
        changed(TINY, task={"shaping": ["discriminator", "length", "repetition"]}),
        changed(TINY, evaluation={"metrics": ("text",)}),
    ],
)
def test_every_setting_is_a_flag(config: RunConfig, parsed: Any) -> None:
    assert parsed("--preset", "small", *flags_of(config)) == config


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--agent.stratified"], {"agent": {"stratified": True}}),
        (["--agent.no-normalize-advantage"], {"agent": {"normalize_advantage": False}}),
        (["--agent.baseline", "learned", "--agent.n-updates", "7"], {"agent": {"baseline": "learned", "n_updates": 7}}),
        (["--pretraining.n-epochs", "0"], {"pretraining": {"n_epochs": 0}}),
        (["--adversary.n-held-out", "9"], {"adversary": {"n_held_out": 9}}),
        (["--evaluation.every", "3"], {"evaluation": {"every": 3}}),
        (["--evaluation.metrics", "text", "language_model"], {"evaluation": {"metrics": ("text", "language_model")}}),
        (["--n-threads", "2", "--device", "cpu"], {"runtime": {"n_threads": 2, "device": "cpu"}}),
        (["--seed", "5"], {"seed": 5}),
        (["--min-length", "3", "--allowed-tokens", "1", "2"], {"task": {"min_length": 3, "allowed_tokens": (1, 2)}}),
        (["--reward-clip", "-10", "None"], {"task": {"reward_clip": (-10.0, None)}}),
        (["--generator.hidden-dim", "9"], {"generator": {"kwargs": {**SMALL.generator.kwargs, "hidden_dim": 9}}}),
    ],
)
def test_an_option_of_a_part_changes_it_and_nothing_else(flags: list[str], parts: dict[str, Any], parsed: Any) -> None:
    assert parsed("--preset", "small", *flags).to_dict() == changed(SMALL, **parts).to_dict()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pretraining.learning_rate", 0.5),
        ("generator.kwargs.hidden_dim", 9),
        ("task.discriminator_kwargs.dropout", 0.5),
        ("task.vocab_size", 7),
        ("runtime.n_threads", 2),
        ("agent.stratified", True),
        ("agent.normalize_advantage", False),
        ("seed", 5),
    ],
)
def test_a_setting_by_its_dotted_name_is_a_flag(name: str, value: Any, parsed: Any) -> None:
    assert parsed("--preset", "small", *flag_with(name, value)) == with_settings(SMALL, {name: value})


def test_an_option_of_the_discriminator_changes_it_and_nothing_else(parsed: Any) -> None:
    kwargs = {**SMALL.task.discriminator_kwargs, "dropout": 0.5}
    expected = changed(SMALL, task={"discriminator_kwargs": kwargs})
    assert parsed("--preset", "small", "--discriminator.dropout", "0.5") == expected


def test_a_core_that_is_chosen_brings_its_own_options(parsed: Any) -> None:
    config = parsed("--preset", "small", "--generator.core", "transformer", "--generator.n-heads", "2")
    assert config.generator.core == "transformer"
    assert config.generator.kwargs["n_heads"] == 2
    assert config.generator.kwargs["hidden_dim"] == SMALL.generator.kwargs["hidden_dim"]
    assert dataclasses.replace(config, generator=SMALL.generator) == SMALL
    with pytest.raises(SystemExit):
        parsed("--preset", "small", "--generator.n-heads", "2")


@pytest.mark.usefixtures("_with_own_core")
def test_so_does_a_core_of_ones_own(parsed: Any) -> None:
    config = parsed("--preset", "small", "--generator.core", "own", "--generator.n-legs", "6")
    shared = ("embedding_dim", "hidden_dim", "dropout", "variational", "embedding_std")
    assert config.generator.kwargs == {**{name: SMALL.generator.kwargs[name] for name in shared}, "n_legs": 6}


def test_a_discriminator_that_is_chosen_brings_its_own_options(parsed: Any) -> None:
    sizes = ["--preset", "small", "--vocab-size", "4", "--max-length", "4"]
    config = parsed(*sizes, "--discriminator", "tabular", "--discriminator.scale", "0.5")
    assert (config.task.discriminator, config.task.discriminator_kwargs) == ("tabular", {"scale": 0.5})
    with pytest.raises(SystemExit):
        parsed(*sizes, "--discriminator", "tabular", "--discriminator.dropout", "0.5")


def test_shapings_that_are_chosen_bring_their_own_options(parsed: Any) -> None:
    small = ["--preset", "small"]
    assert parsed(*small, "--shaping", "length").task.shaping_kwargs == {"length": {"weight": 0.01}}
    task = parsed(*small, "--shaping", "discriminator", "length", "--shaping.length.weight", "-0.5").task
    assert (task.shaping, task.shaping_kwargs) == (["discriminator", "length"], {"length": {"weight": -0.5}})
    dense = parsed(*small, "--reward", "constant", "--shaping", "increments", "--discriminator.dropout", "0.5")
    assert dense.is_adversarial
    for wrong in (["length", "length"], ["bonus"], ["prefix", "--shaping.length.weight", "1"], []):
        with pytest.raises(SystemExit):
            parsed(*small, "--shaping", *wrong)


@pytest.mark.parametrize("reward", ["constant", "exact_log_ratio"])
@pytest.mark.parametrize("flag", ["--discriminator.dropout", "--adversary.n-rounds", "--adversary.every-n-episodes"])
def test_a_reward_that_trains_no_discriminator_has_no_flags_for_it(
    reward: str, flag: str, parsed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parsed("--preset", "small", "--reward", reward) == changed(SMALL, task={"reward": reward})
    with pytest.raises(SystemExit) as refused:
        parsed("--preset", "small", "--reward", reward, flag, "1")
    assert refused.value.code == 2
    assert flag in capsys.readouterr().err


@pytest.mark.usefixtures("without_pictures")
def test_a_tabular_discriminator_plays_a_whole_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On an oracle that is small enough to enumerate."""
    run = tmp_path / "run"
    task = {"vocab_size": 4, "max_length": 4, "discriminator": "tabular", "discriminator_kwargs": {}}
    config = changed(TINY, task=task, pretraining={"n_epochs": 1}, agent={"n_updates": 2})
    assert cli.main(["train", *flags_of(config), "--out", str(run)]) == 0
    assert f"report: {run / 'report.html'}" in capsys.readouterr().out
    assert RunConfig.load(run / "config.json") == config
    assert cli.main(["evaluate", str(run)]) == 0
    assert 0 < json.loads(capsys.readouterr().out)["discriminator_log_loss"] < 1


@pytest.mark.usefixtures("without_pictures")
def test_a_game_of_increments_alone_is_a_whole_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The reward is a constant, so the discriminator that the shaping asks is all there is to learn from."""
    task = {"reward": "constant", "shaping": ["increments", "length"]}
    config = changed(TINY, task=task, pretraining={"n_epochs": 1}, agent={"n_updates": 2})
    assert cli.main(["train", *flags_of(config), "--out", str(tmp_path / "run")]) == 0
    assert RunConfig.load(tmp_path / "run" / "config.json") == config
    capsys.readouterr()
    assert cli.main(["evaluate", str(tmp_path / "run")]) == 0
    assert 0 < json.loads(capsys.readouterr().out)["discriminator_log_loss"] != pytest.approx(math.log(2))


class TestResume:
    def test_takes_the_settings_of_the_run(self, parsed: Any, tmp_path: Path) -> None:
        task = {"reward": "log_ratio", "vocab_size": 4, "max_length": 4, "discriminator": "tabular"}
        config = changed(
            TINY,
            task={**task, "discriminator_kwargs": {"scale": 0.5}, "shaping": ["length", "repetition"]},
            generator={"core": "transformer", "kwargs": {"hidden_dim": 8, "n_heads": 2}},
            seed=3,
        )
        config.save(tmp_path / "config.json")
        resume = ["--resume", "--out", str(tmp_path)]
        assert parsed(*resume) == config
        assert parsed(*resume, "--agent.n-updates", "9") == changed(config, agent={"n_updates": 9})
        assert parsed(*resume, "--generator.n-heads", "4").generator.kwargs["n_heads"] == 4
        weighted = parsed(*resume, "--shaping", "length", "repetition", "--shaping.length.weight", "2")
        settings = {"length": {"weight": 2.0}, "repetition": {"n": 2, "weight": 0.1}}
        assert weighted == changed(config, task={"shaping_kwargs": settings})

    def test_of_a_run_that_cannot_be_read_is_refused(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "config.json").write_text("{")
        assert cli.main(["train", "--resume", "--out", str(tmp_path)]) == 2
        assert "is not a readable configuration" in capsys.readouterr().err
