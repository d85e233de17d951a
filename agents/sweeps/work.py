"""The work of a sweep as functions of bytes, so that any engine can do it anywhere.

The output of maximum likelihood and of the discriminator's training is a checkpoint, which holds no code; that of a run
is a line of JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import time
from collections.abc import Sequence
from typing import Any

from stable_baselines3.common.logger import KVWriter
from stable_baselines3.common.utils import set_random_seed

from agents.checkpoint import load_checkpoint, save_checkpoint
from agents.runs.config import RunConfig
from agents.runs.evaluation import Evaluator
from agents.runs.game import Game
from agents.runs.phases import DiscriminatorPretraining, MaximumLikelihood, NoJournal
from agents.sweeps.algorithms import Contest, Learner, build_learner
from agents.sweeps.budget import Watch
from agents.sweeps.cells import Cell
from agents.sweeps.environment import describe, peak_memory_mb, reset_peak_memory
from agents.sweeps.graph import Node


def do(node: Node, *inputs: bytes) -> bytes:
    """Do a piece of work.

    Args:
        node: the piece.
        *inputs: the outputs of those that it needs.

    Returns:
        Its output.
    """
    if isinstance(node.work, Cell):
        header = node.work.header
        with contextlib.ExitStack() as stack:
            outputs = [stack.enter_context(node.tracking.told(header))] if node.tracking is not None else []
            return json.dumps({**header, "status": "done", **play(node.work, *inputs, outputs=outputs)}).encode()
    work = pretrain if node.kind == "pretraining" else train_discriminator
    return work(node.work, *inputs)


def pretrain(config: RunConfig) -> bytes:
    """Maximum likelihood: the generator, and its measurement."""
    game = Game(config)
    MaximumLikelihood().run(game, NoJournal())
    state = game.state_dict()
    kept = {name: state[name] for name in ("agent", "likelihood_trainer")}
    return _packed({**kept, "start": game.evaluator.measure("record")})


def train_discriminator(config: RunConfig, pretraining: bytes) -> bytes:
    """The discriminator's training against the pretrained generator."""
    game = Game(config)
    game.load_pretraining(_unpacked(pretraining))
    DiscriminatorPretraining().run(game, NoJournal())
    return _packed({"adversary": game.adversary.state_dict(), "version": game.callback.version})


def play(
    cell: Cell, pretraining: bytes, discriminator: bytes | None = None, *, outputs: Sequence[KVWriter] = ()
) -> dict[str, Any]:
    """A run.

    Args:
        cell: its settings.
        pretraining: the output of ``pretrain``.
        discriminator: the output of ``train_discriminator``; None where the game has none that is trained.
        outputs: of the run's logger.

    Returns:
        ``start``, the measurement of the pretrained generator; ``records``, those of the run; ``steps``, ``scored``,
        ``wall_time_s`` of learning and ``total_time_s`` of all; ``peak_memory_mb`` of the process; ``environment``.
    """
    began = time.monotonic()
    reset_peak_memory()
    game, config = Game(cell.config), cell.config
    state = _unpacked(pretraining)
    game.load_pretraining(state)
    if discriminator is not None:
        trained = _unpacked(discriminator)
        game.adversary.load_state_dict(trained["adversary"])
        game.set_version(trained["version"])
    set_random_seed(config.seed)  # whatever the process did before
    learner = _learner(cell, game)
    evaluator = Evaluator(
        game.task,
        learner.sequences,
        config.evaluation.n,
        config.seed,
        game.adversary.trainer.discriminator if config.is_adversarial else None,
        groups=config.evaluation.metrics,
    )
    if config.is_exact:
        assert evaluator.optimal is not None
        game.task.scoring.set_discriminator(evaluator.optimal)  # against this learner, not the one it came from
    watch = Watch(cell.budget, game, evaluator, outputs)
    learner.learn(watch)
    watch.finish()
    return {
        "start": state["start"],
        "records": watch.records,
        "steps": watch.records[-1]["steps"],
        "scored": watch.records[-1]["scored"],
        "wall_time_s": watch.records[-1]["wall_time_s"],
        "total_time_s": round(time.monotonic() - began, 3),
        "peak_memory_mb": peak_memory_mb(),
        "environment": describe(),
    }


def check(cell: Cell) -> None:
    """Build everything that a run needs, on few real sequences, and throw it away.

    Raises:
        ValueError: something does not fit.
    """
    task = dataclasses.replace(cell.config.task, n_real=min(64, cell.config.task.n_real), n_held_out=2)
    game = Game(dataclasses.replace(cell.config, task=task))
    _learner(cell, game)


def _learner(cell: Cell, game: Game) -> Learner:
    """The learner of a run, which may do with its settings what it likes: all seeds share those of the cell."""
    return build_learner(cell.algorithm, Contest(game, dict(cell.settings), cell.budget))


def _packed(state: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    save_checkpoint(buffer, state)
    return buffer.getvalue()


def _unpacked(output: bytes) -> dict[str, Any]:
    return load_checkpoint(io.BytesIO(output))
