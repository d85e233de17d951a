"""One episode that a person plays, on any terminal or through a pipe."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from agents.runs.evaluation import check_corpus, places
from agents.runs.folder import RunFolder
from seqgan_env.checks import check_choice
from seqgan_env.discriminators import DISCRIMINATORS
from seqgan_env.env import SeqGANEnv
from seqgan_env.files import refusal
from seqgan_env.mdp import EpisodeState
from seqgan_env.registration import TASKS
from seqgan_env.rendering import has_screen
from seqgan_env.rewards import REWARDS
from seqgan_env.task import Task
from seqgan_env.tokenizing import SPACED

HELP = "type a token, its beginning or its number; ? lists tokens, < takes the last one back"
"""Said before the first token, with the token that ends a sequence."""
N_LISTED = 20
"""Tokens of a list."""

_MOST_SCORED = 2000  # tokens of which the likeliest are listed; more would take the discriminator long


def make_env(name: str, source: str | None = None, held_out: str | None = None, *, render: bool = False) -> SeqGANEnv:
    """The environment of a registered task, or of a run with its discriminator.

    Args:
        name: an id, or the folder of a run.
        source: the text, of a task that needs one; or the new place of that of a run.
        held_out: the file of held-out text, likewise.
        render: show a picture of each step, where there is a screen.

    Raises:
        ValueError: there is neither, a file is damaged, or the text is missing or another.
    """
    mode = "human" if render and has_screen() else "ansi"
    folder = RunFolder(name)
    if not folder.holds_run:
        check_choice("the task, or the folder of a run,", name, TASKS)
        given = {"source": source, "held_out": held_out}
        own = {name: value for name, value in given.items() if value is not None}
        return SeqGANEnv(render_mode=mode, **{**TASKS[name].kwargs, **own})
    config, state = folder.load_state()
    # no function is called that the settings of a stranger may name
    check_choice("the reward of a run that is played", config.task.reward, REWARDS)
    arguments = {**config.env_kwargs, "allowed_next": None, "shaping": "none", "shaping_kwargs": {}}
    env = SeqGANEnv(render_mode=mode, **arguments | {"device": "cpu"} | places(source, held_out))
    check_corpus(env.task, state)
    if config.is_adversarial:
        with refusal(folder.checkpoint, "checkpoint of this run"):
            env.task.scoring.discriminator.load_weights(state["adversary"]["discriminator"])
            env.task.scoring.version = state["callback"]["version"]
    return env


def play(env: SeqGANEnv, read: Callable[[], str | None], say: Callable[[str], None]) -> float | None:
    """Play one episode.

    Args:
        env: a single environment that renders.
        read: gives the next line that is typed, None at the end.
        say: shows a text.

    Returns:
        The sum of what was paid; None where the input ends before the sequence.
    """
    env.reset()
    say(_greeting(env))
    past: list[tuple[EpisodeState, float]] = []
    total = 0.0
    while (line := read()) is not None:
        if line == "?":
            say(_listed(env))
        elif line == "<":
            if past:
                state, total = past.pop()
                env.restore_state(state)
                if env.render_mode == "human":  # as a step does by itself
                    env.render()
            say(_shown(env))
        elif line.strip() or _has(env.task, line):
            try:
                for token in tokens_of(env.task, line):
                    before = env.clone_state()
                    _, reward, ended, _, _ = env.step(np.int64(token))
                    past.append((before, total))
                    total += reward
                    say(_shown(env))
                    if ended:
                        say(f"reward {total:.4f}")
                        return total
            except ValueError as error:
                say(str(error))
    say("the input ended before the sequence: no reward")
    return None


def tokens_of(task: Task, line: str) -> list[int]:
    """The ids that a line asks for: the line as one token, or else as several.

    Args:
        task: the task, whose vocabulary says how a text is cut.
        line: what was typed.

    Raises:
        ValueError: a part of it is no token, the beginning of none, or that of several.
    """
    vocabulary = task.source.vocabulary
    is_spaced = vocabulary is not None and vocabulary.level in SPACED
    if _has(task, line) or (is_spaced and _is_id(line)):
        return [_token_of(task, line)]
    if vocabulary is not None and is_spaced:
        return list(vocabulary.encode(line, allow_unknown=False))
    words = line.split(None if vocabulary is None else vocabulary.delimiter)
    return [_token_of(task, word) for word in words if word]


def _token_of(task: Task, word: str) -> int:
    names = _names(task)
    if word in names:
        return names[word]
    if _is_id(word):
        if int(word) >= task.spec.vocab_size:
            raise ValueError(f"the number of a token must be below {task.spec.vocab_size}, got {word}")
        return int(word)
    found = [name for name in names if name.startswith(word)]
    if len(found) == 1:
        return names[found[0]]
    if not found:
        raise ValueError(f"no token is or begins with {word!r}")
    more = ", ..." if len(found) > N_LISTED else ""
    raise ValueError(f"{len(found)} tokens begin with {word!r}: {', '.join(found[:N_LISTED])}{more}")


def _is_id(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) < 20


def _has(task: Task, word: str) -> bool:
    return word in _names(task)


@functools.lru_cache(maxsize=1)
def _names(task: Task) -> dict[str, int]:
    """The id of each token's text; empty where tokens have none."""
    vocabulary = task.source.vocabulary
    return {} if vocabulary is None else {token: i for i, token in enumerate(vocabulary.tokens)}


def _greeting(env: SeqGANEnv) -> str:
    """The task, how to play it and what its discriminator is worth."""
    spec, config = env.sequence_spec, env.task.config
    text = f"{config.source}: at most {spec.max_length} tokens; {HELP}"
    if spec.eos_id is not None:
        vocabulary = env.task.source.vocabulary
        names = [] if vocabulary is None else [vocabulary.tokens[spec.eos_id]]
        names += [] if _has(env.task, str(spec.eos_id)) else [str(spec.eos_id)]
        text += f"; {' or '.join(names)} ends the sequence"
    is_fresh = env.task.scoring.version == 0 and config.discriminator in DISCRIMINATORS
    if is_fresh and _answers(env, env.clone_state().tokens_BT) is not None:
        text += "\nthe discriminator has not been trained, and D says nothing yet"
    return text


def _shown(env: SeqGANEnv) -> str:
    """The text so far and the discriminator's answer to it."""
    tokens_T, length = env.clone_state().tokens_BT[0], int(env.clone_state().length_B[0])
    text = f"[{length}/{env.sequence_spec.max_length}] {' '.join(env.task.words(tokens_T))}"
    d = _answers(env, tokens_T[None])
    return text if d is None or not length else f"{text}  D {d[0]:.3f}"


def _listed(env: SeqGANEnv) -> str:
    """Tokens that may come next, those first that the discriminator takes for the most real ones."""
    allowed = np.flatnonzero(env.action_masks())
    state = env.clone_state()
    d: npt.NDArray[np.float64] | None = None
    if len(allowed) <= _MOST_SCORED:
        tokens_BT = np.repeat(state.tokens_BT, len(allowed), axis=0)
        tokens_BT[:, int(state.length_B[0])] = allowed
        d = _answers(env, tokens_BT)
    order: Sequence[int] = range(len(allowed)) if d is None else np.argsort(-d, kind="stable").tolist()
    vocabulary = env.task.source.vocabulary
    lines = [f"{len(allowed)} tokens are allowed{', the most real first' if d is not None else ''}:"]
    ends = [i for i in order[N_LISTED:] if allowed[i] == env.sequence_spec.eos_id]  # by which one is always listed
    for i in [*order[:N_LISTED], *ends]:
        name = "" if vocabulary is None else f"  {vocabulary.tokens[allowed[i]]}"
        lines.append(f"{allowed[i]:>6}{'' if d is None else f'  D {d[i]:.3f}'}{name}")
    if n_more := len(allowed) - len(lines) + 1:
        lines.append(f"   and {n_more} more")
    return "\n".join(lines)


def _answers(env: SeqGANEnv, tokens_BT: npt.NDArray[np.int64]) -> npt.NDArray[np.float64] | None:
    """``D`` of each prefix, shape ``(B,)``; None where the discriminator knows complete sequences only."""
    try:
        logit_real_B = env.task.scoring.prefix_logit(tokens_BT)
    except ValueError:
        return None
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logit_real_B)))  # the sigmoid, without overflow
