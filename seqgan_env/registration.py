"""The registered tasks, as data; ``seqgan_env.task_docs`` makes their documentation of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from seqgan_env.task_config import OwnDiscriminator


@dataclass(frozen=True)
class RegisteredTask:
    """The particulars of one id; ``SeqGANEnv`` and ``TaskConfig`` say what all have in common."""

    title: str
    """A few words on it."""
    about: str
    """Its purpose."""
    kwargs: Mapping[str, Any]
    """The fields of ``TaskConfig`` that it sets; None is one that the user must set."""
    rewards: str = ""
    """Known facts about its rewards."""
    reward_threshold: float | None = None
    """The mean reward from which on an agent has learnt it; None where the reward moves with the discriminator."""


TASKS: dict[str, RegisteredTask] = {
    "SeqGAN-v0": RegisteredTask(
        title="the synthetic task of the SeqGAN paper",
        about="An LSTM with random weights stands for the real world, so that the likelihood of whatever a generator "
        "writes is known exactly. The discriminator is the convolutional network of the paper, 1,720 filters of widths "
        "1 to 20. Drawing the real sequences takes some ten seconds of one processor core.",
        kwargs={},
    ),
    "SeqGANLong-v0": RegisteredTask(
        title="the synthetic task with sequences twice as long",
        about="The same LSTM as in `SeqGAN-v0` and the same filters: the first twenty tokens follow the same "
        "distribution, and the reward comes twice as late. Drawing the real sequences takes some twenty seconds of one "
        "processor core.",
        kwargs={"max_length": 40},
    ),
    "SeqGANSmall-v0": RegisteredTask(
        title="the synthetic task at the size of a laptop",
        about="For trying things out, with the sizes of `seqgan train --preset small`. The LSTM has as many units as "
        "that of `SeqGAN-v0`; the filters of the discriminator have widths up to 5, 64 of each. It is made within a "
        "tenth of a second, discriminator included, and the real sequences are drawn in about a second.",
        kwargs={
            "vocab_size": 100,
            "max_length": 10,
            "n_real": 20_000,
            "n_held_out": 10_000,
            "discriminator_kwargs": OwnDiscriminator(
                {"embedding_dim": 32, "filters": [[width, 64] for width in range(1, 6)], "l2": 0.01}, "cnn"
            ),
        },
    ),
    "SeqGANTiny-v0": RegisteredTask(
        title="a task whose answer is known",
        about="So few sequences that all can be listed: `seqgan_env.enumeration` gives the best policy and every value "
        "exactly. The discriminator is a table with a logit for each sequence, drawn once for all from a normal "
        "distribution of standard deviation 2, so that the task needs no training to have something to find.",
        kwargs={
            "vocab_size": 4,
            "max_length": 4,
            "n_real": 1_000,
            "n_held_out": 500,
            "discriminator": "tabular",
            "discriminator_kwargs": OwnDiscriminator({"scale": 2.0}, "tabular"),
        },
        rewards="While the discriminator stays as it is made, the best sequence earns -0.004, the worst -6.181, and "
        "random tokens -1.062 on average; 95 % of the way from there to the best is a mean reward of -0.057, the "
        "`reward_threshold` of the specification.",
        reward_threshold=-0.057,
    ),
    "SeqGANGrammar-v0": RegisteredTask(
        title="English sentences that one can read",
        about="A grammar with a lexicon of its own writes sentences such as *every cat chases the sailors .* Its "
        "distribution is known exactly, and what there is to learn reaches over several words: verbs agree with their "
        "subjects, and objects suit their verbs. One sentence in five hundred is word salad, so that no sequence has "
        "probability 0. The filters of the discriminator have widths up to 5, 64 of each.",
        kwargs={
            "source": "grammar",
            "discriminator_kwargs": OwnDiscriminator({"filters": [[width, 64] for width in range(1, 6)]}, "cnn"),
        },
    ),
    "SeqGANText-v0": RegisteredTask(
        title="a text file of your own",
        about='`gymnasium.make("SeqGANText-v0", source="my.txt")` reads a UTF-8 file with one sequence a line, by '
        'words, with `level="char"` by characters or, where the text is cut into tokens already, with `level="token"` '
        'at white space alone, or at the `delimiter` of the file. `level="bpe"` cuts words into pieces, at most '
        "`vocab_size` different ones, by a byte-pair encoding that is learnt from the text (`pip install "
        "'seqgan-env[bpe]'`). `level=\"ids\"` reads token ids. The name says the "
        "form of the file: plain text, lines of JSON (`my.jsonl`, whose `text_field` holds the text), and either of "
        "them compressed (`my.txt.gz`, `.bz2`, `.xz`). V counts the distinct words, `<eos>` and `<unk>`; T is the "
        "length of the longest line, `<eos>` included. At most a fifth of the lines are held out. The filters of the "
        "discriminator have widths up to 5, 100 of each.",
        kwargs={
            "source": None,
            "discriminator_kwargs": OwnDiscriminator({"filters": [[width, 100] for width in range(1, 6)]}, "cnn"),
        },
    ),
}
"""The tasks by id."""


def register() -> None:
    """Register every task with Gymnasium.

    There is no ``max_episode_steps``: the horizon is the task's own, and a time limit would call its end a truncation.
    Nothing is ``nondeterministic``: the same actions lead to the same observations, and a retrained discriminator
    changes rewards alone.
    """
    for env_id, task in TASKS.items():
        gym.register(
            id=env_id,
            entry_point=f"seqgan_env.task_docs:{class_name(env_id)}",
            vector_entry_point="seqgan_env.vector_env:SeqGANVectorEnv",
            reward_threshold=task.reward_threshold,
            kwargs=dict(task.kwargs),
        )


def class_name(env_id: str) -> str:
    """The class of ``seqgan_env.task_docs`` that an id makes."""
    return env_id.replace("-", "_")
