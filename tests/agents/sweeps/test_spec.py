"""The tables of a sweep: what they can say, and one line for what they can't."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agents.sweeps.spec import Resources, cells_of, resources_of
from tests.support.sweeps import SPEC, spec_with


def test_axes_and_grids_are_combined() -> None:
    cells = cells_of(
        spec_with(
            algorithm=[{"name": "a2c", "grid": {"ent_coef": [0.0, 0.1], "n_steps": [2, 4]}}],
            reward=[{"name": "f_divergence", "grid": {"divergence": ["forward_kl", "reverse_kl"]}}],
            shaping=[{"name": "length", "weight": 0.5}, ["length", "repetition"]],
            discriminator=["tabular", {"name": "gru", "hidden_dim": 4}],
            grid={"adversary.every_n_episodes": [8, 16]},
        )
    )
    expected = {
        "task": ["SeqGANTiny-v0"],
        "algorithm": ["a2c"],
        "settings": [f"ent_coef={c}, n_steps={s}" for c in ("0", "0.1") for s in (2, 4)],
        "reward": ["f_divergence (divergence=forward_kl)", "f_divergence (divergence=reverse_kl)"],
        "shaping": ["length (weight=0.5)", "length + repetition"],
        "discriminator": ["tabular", "gru (hidden_dim=4)"],
        "variant": ["adversary.every_n_episodes=8", "adversary.every_n_episodes=16"],
    }
    assert len(cells) == 4 * 2 * 2 * 2 * 2
    for axis, names in expected.items():
        assert Counter(cell.axes[axis] for cell in cells) == dict.fromkeys(names, len(cells) // len(names))
    for cell in cells:
        ent_coef, n_steps = cell.settings["ent_coef"], cell.settings["n_steps"]
        assert cell.axes["settings"] == f"ent_coef={ent_coef:g}, n_steps={n_steps}"
        task, adversary = cell.config.task, cell.config.adversary
        assert cell.axes["reward"] == f"f_divergence (divergence={task.reward_kwargs['divergence']})"
        assert (task.shaping_kwargs["length"]["weight"] == 0.5) == (cell.axes["shaping"] == "length (weight=0.5)")
        assert cell.axes["discriminator"].split(" ")[0] == task.discriminator
        assert cell.axes["variant"] == f"adversary.every_n_episodes={adversary.every_n_episodes}"


def test_a_variant_is_named_by_what_matters_to_the_run() -> None:
    grid = {"agent.learning_rate": [0.001, 0.01], "adversary.n_rounds": [1, 2]}
    cells = cells_of(spec_with(algorithm=["seqgan", "ppo", "random"], grid=grid, seeds=[0, 1]))
    names = {name: {cell.axes["variant"] for cell in cells if cell.algorithm == name} for name in ("ppo", "random")}
    assert names == {"ppo": {"adversary.n_rounds=1", "adversary.n_rounds=2"}, "random": {""}}
    assert len({cell.axes["variant"] for cell in cells if cell.algorithm == "seqgan"}) == 4


def test_shapings_that_add_up_have_settings_by_name() -> None:
    weights = {"length": {"weight": 0.5}}
    (cell,) = cells_of(spec_with(shaping=[{"name": ["length", "repetition"], **weights}]))
    assert cell.config.task.shaping_kwargs["length"] == weights["length"]


def test_a_task_overrides_and_keeps_its_own(tmp_path: Path) -> None:
    text = tmp_path / "lines.txt"
    text.write_text("a b\nb a\n" * 20)
    spec = spec_with(
        task=[
            {"name": "SeqGANTiny-v0", "n_real": 50, "evaluation": {"n": 7}},
            {"name": "SeqGANText-v0", "source": str(text)},
        ]
    )
    tiny, of_text = cells_of(spec)
    assert (tiny.config.task.n_real, tiny.config.evaluation.n) == (50, 7)
    assert tiny.config.task.discriminator == "tabular"
    assert of_text.config.evaluation.n == 20
    assert of_text.axes["task"] == f"SeqGANText-v0 (source={text})"
    assert {cell.config.runtime.n_threads for cell in (tiny, of_text)} == {1}


def test_resources_are_a_part_of_the_file_that_decides_no_result() -> None:
    spec = spec_with(resources={"cpus": 2, "gpus": 0.25, "memory_mb": 500})
    assert resources_of(spec) == Resources(2, 0.25, 500)
    assert resources_of(SPEC) == Resources(1, 0.0, None)
    assert [cell.key for cell in cells_of(spec)] == [cell.key for cell in cells_of(SPEC)]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"reward": ["praise"]}, "SeqGANTiny-v0, seqgan, praise: reward must be one of .*; got 'praise'"),
        ({"algorithm": ["sac"]}, "SeqGANTiny-v0, sac: algorithm must be one of .*; got 'sac'"),
        ({"shaping": ["corset"]}, "SeqGANTiny-v0, seqgan, corset: shaping must be"),
        ({"discriminator": ["judge"]}, "discriminator must be one of .*; got 'judge'"),
        ({"task": ["chess"]}, "chess, seqgan: task must be one of SeqGAN-v0, .*, small, text, ratio; got 'chess'"),
        ({"algorithm": []}, "a sweep must have task, algorithm, budget; it lacks algorithm"),
        ({"algorithm": "ppo"}, "algorithm must be a list of names and tables, got 'ppo'"),
        ({"algorithm": [3]}, "an entry of algorithm must be a name or a table with a name, got 3"),
        ({"algorithm": [{"name": 3}]}, "an entry of algorithm must be .* with a name, got {'name': 3}"),
        ({"algorithm": [None]}, "an entry of algorithm must be a name"),
        ({"task": [{"name": ["small"]}]}, "an entry of task must be a name"),
        ({"discriminator": [{"name": 3}]}, "an entry of discriminator must be a name"),
        ({"shaping": [["length", 3]]}, "an entry of shaping must be a name"),
        ({"shaping": [{"name": ["length", "repetition"], "weight": 3}]}, "SeqGANTiny-v0, seqgan, length . repetition"),
        ({"seeds": []}, "seeds must be a list of at least one value"),
        ({"grid": {"adversary.every_n_episodes": []}}, "must be a list of at least one value"),
        ({"task": [{"name": "small", "grid": {"n_real": []}}]}, "must be a list of at least one value"),
        ({"task": [{"name": "small", "n_real": 9, "grid": {"n_real": [8]}}]}, "in its search; n_real is both"),
        ({"task": ["SeqGANText-v0"]}, "the task needs a text: .*source = 'my.txt'"),
        ({"algorithm": [{"name": "ppo", "n_epochs": 0}]}, "n_epochs must be a whole number of at least 1, got 0"),
        ({"algorithm": [{"name": "a2c", "n_steps": -3}]}, "n_steps must be a whole .* at least 1 or None, got -3"),
        ({"algorithm": [{"name": "dqn", "train_freq": 0}]}, "train_freq must be a whole number of at least 1"),
        ({"algorithm": [{"name": "trpo", "gamma": 5}]}, r"gamma must be a finite number in \[0, 1\], got 5"),
        ({"algorithm": [{"name": "tests.support.sweeps:pretend", "f": print}]}, "is not JSON serializable"),
        ({"algorithm": [{"label": "x"}]}, "a table of algorithm must have a name"),
        ({"algorithm": [{"name": "ppo", "grid": {"gamma": 1.0}}]}, "grid of ppo.* must be a list"),
        ({"algorithm": [{"name": "ppo", "patience": 1}]}, "algorithm 'ppo' takes .*gamma.*; got patience"),
        ({"algorithm": [{"name": "ppo", "n_epochs": "many"}]}, "n_epochs must be a whole number of at least 1"),
        ({"algorithm": [{"name": "seqgan", "n_updates": 3}]}, "algorithm 'seqgan' takes .*; got n_updates"),
        ({"algorithm": ["no_module:play"]}, "algorithm must be a function or 'module:function', got 'no_module:play'"),
        ({"budget": {}}, "a sweep must have"),
        ({"budget": {"evaluations": 3}}, "the budget must have steps, or scored, or both; got neither"),
        ({"budget": {"steps": 0}}, "steps must be a whole number of at least 1 or None, got 0"),
        ({"budget": {"scored": 9}, "algorithm": ["random"]}, "'random' scores no sequences: the budget must have st"),
        ({"seeds": [-1]}, "seeds"),
        ({"seeds": 3}, "seeds must be a list"),
        ({"resources": {"gpus": 1.5}}, "gpus must be a finite number in .0, 1., got 1.5"),
        ({"resources": {"cores": 1}}, "resources takes cpus, gpus, memory_mb; got cores"),
        ({"resources": 4}, "resources must be a "),
        ({"colour": 1}, "a sweep takes seeds, task, .*; got colour"),
        ({"grid": {"generator.colour": [1]}}, "a setting must be one of this run, .*; got 'generator.colour'"),
        ({"run": {"generator": {"colour": 1}}}, "generator takes core, kwargs; got colour"),
        ({"grid": {"seed": [3]}}, "seed can't be set here: seeds lists them"),
        ({"grid": {"runtime.n_threads": [1, 2]}}, "runtime.n_threads can't be set here: it decides no result"),
        ({"run": {"agent": {"n_updates": 3}}}, "agent.n_updates can't be set here: the budget ends a run"),
        ({"task": [{"name": "small", "agent": {"n_updates": 3}}]}, "agent.n_updates can't be set here: the budget"),
        ({"run": {"task": {}}}, "run takes generator, pretraining, .*; got task"),
        ({"algorithm": ["dqn"], "shaping": ["length"]}, "DQN relabels .* so it needs shaping 'none', got 'length'"),
        ({"algorithm": [{"name": "dqn", "relabel": False}]}, "DQN would learn from rewards of discriminators that are"),
        ({"algorithm": ["qrdqn"], "reward": ["exact_log_ratio"]}, "'qrdqn' can't learn from the reward 'exact_log_rat"),
    ],
)  # fmt: skip
def test_a_bad_sweep_is_refused_in_one_line(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        cells_of(spec_with(**changes))
    assert "\n" not in str(caught.value)


def test_without_relabelling_a_reward_that_stays_is_allowed() -> None:
    (cell,) = cells_of(spec_with(algorithm=[{"name": "dqn", "relabel": False}], reward=["constant"]))
    assert cell.settings["relabel"] is False
