"""What the documentation of the registered tasks claims is what they do."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import pydoc
import re
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.runs.presets import get_preset
from seqgan_env import TASKS, SeqGANEnv, SeqGANVectorEnv, TaskConfig, describe, enumeration
from seqgan_env.discriminators import CNNConfig, CNNDiscriminator
from seqgan_env.sources import Grammar, LSTMOracle
from seqgan_env.task_docs import page
from tests.support.tasks import NEEDS, ROOT, make

SECTIONS = [
    "Description",
    "Action Space",
    "Observation Space",
    "Starting State",
    "Rewards",
    "Episode End",
    "Information",
    "Arguments",
    "Version History",
]
"""The template of Gymnasium's own environments."""


@pytest.fixture(params=TASKS)
def env_id(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def sections(env_id: str, env: SeqGANEnv | None = None) -> dict[str, str]:
    """The sections of an id's text; with ``env``, the sizes that a file decides are filled in from there."""
    parts = re.split(r"^## (.+)\n", describe(env_id), flags=re.MULTILINE)
    texts = dict(zip(parts[1::2], parts[2::2], strict=True))
    if env is not None and env_id in NEEDS:
        spec = env.sequence_spec
        sizes = {"V": spec.vocab_size, "T": spec.max_length, "T + 1": spec.max_length + 1}
        texts = {k: re.sub(r"\b(T \+ 1|T|V)\b", lambda m: str(sizes[m[0]]), text) for k, text in texts.items()}
    return texts


def documented_arguments(text: str) -> dict[str, Any]:
    """The list of arguments: each name with its default, or ``...`` where there is none."""
    found = re.findall(r"^\* `(\w+)(?:=(.+))?`(?:, required)?:\s+\S", text, flags=re.MULTILINE)
    return {name: ast.literal_eval(default) if default else ... for name, default in found}


class TestDocumentation:
    def test_every_id_has_the_nine_sections(self, env_id: str) -> None:
        texts = sections(env_id)
        assert list(texts) == SECTIONS
        assert all(len(text.strip()) > 5 for text in texts.values())
        assert describe(env_id).startswith(f"{env_id}: {TASKS[env_id].title}.")

    def test_it_is_where_one_looks(self, env_id: str) -> None:
        env = make(env_id)
        assert env.__doc__ == type(env).__doc__ == describe(env_id)
        shown = pydoc.plain(pydoc.render_doc(env))  # what help() prints
        assert all(line in shown for line in describe(env_id).splitlines())
        assert (inspect.getdoc(SeqGANEnv) or "").count("## ") == len(SECTIONS)

    def test_the_page_has_every_section_of_every_id(self) -> None:
        for env_id in TASKS:
            text = page().split(f"\n## {env_id}\n")[1].split("\n## ")[0]
            assert re.findall(r"^### (.+)", text, flags=re.MULTILINE) == SECTIONS
        for line in page().splitlines():
            assert len(line) <= 160

    def test_an_unknown_id_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"env_id must be one of SeqGAN-v0, .*; got 'CartPole-v1'"):
            describe("CartPole-v1")

    def test_no_path_of_this_machine_is_in_it(self) -> None:
        assert str(ROOT) not in page()


class TestArguments:
    def test_their_names_and_defaults_are_those_of_the_configuration(self, env_id: str) -> None:
        fields = dataclasses.asdict(TaskConfig()) | dict(TASKS[env_id].kwargs)
        expected = {name: ... if value is None and name == "source" else value for name, value in fields.items()}
        assert documented_arguments(sections(env_id)["Arguments"]) == {**expected, "render_mode": None}

    def test_the_page_has_the_general_defaults(self) -> None:
        text = page().split("\n## All arguments\n")[1]
        assert documented_arguments(text) == {**dataclasses.asdict(TaskConfig()), "render_mode": None}

    def test_the_environments_take_no_others(self) -> None:
        assert list(inspect.signature(SeqGANEnv).parameters) == ["render_mode", "task"]
        assert "render_mode" in inspect.signature(SeqGANVectorEnv).parameters

    def test_what_the_text_calls_the_id_is_the_id(self, env_id: str) -> None:
        """``This id is `SeqGANEnv(...)```: the call makes the same task."""
        call = re.search(r"This id is `SeqGANEnv\((.*?)\)`", sections(env_id)["Arguments"], flags=re.DOTALL)
        assert call is not None
        given = {k.arg: ast.literal_eval(k.value) for k in ast.parse(f"f({call[1]})", mode="eval").body.keywords}  # type: ignore[attr-defined]
        assert SeqGANEnv(**{**given, **NEEDS.get(env_id, {})}).task_config == make(env_id).task_config

    @pytest.mark.parametrize("make_one", [gym.make, gym.make_vec])
    def test_a_text_needs_its_file(self, make_one: Any) -> None:
        with pytest.raises(ValueError, match=r"source must be .* the path of a text file, .*: pass source='my.txt'"):
            make_one("SeqGANText-v0")


class TestClaims:
    @pytest.mark.parametrize("observation", ["tokens", "dict"])
    def test_the_spaces_are_as_printed(self, env_id: str, observation: str) -> None:
        env = make(env_id, observation=observation)
        texts = sections(env_id, env)
        assert texts["Action Space"].startswith(f"`{env.action_space}`")
        if observation == "tokens":
            assert texts["Observation Space"].startswith(f"`{env.observation_space}`")
        else:
            assert isinstance(env.observation_space, gym.spaces.Dict)
            for name, space in env.observation_space.items():
                assert f"`{name}`" in texts["Observation Space"]
                assert f"`{space}`" in texts["Observation Space"]
        eos_id = env.sequence_spec.eos_id
        says = "no end-of-sequence token" if eos_id is None else f"the end-of-sequence token is {eos_id}, `<eos>`"
        assert says in texts["Action Space"]

    def test_the_sizes_are_as_printed(self, env_id: str) -> None:
        env = make(env_id)
        config, spec, text = env.task_config, env.sequence_spec, sections(env_id)["Description"].replace("\n", " ")
        assert f"{config.n_real:,} real sequences to train on and {config.n_held_out:,} held out" in text
        if env_id not in NEEDS:
            assert f"V = {spec.vocab_size} tokens, T = {spec.max_length}" in text
            n_parameters = sum(p.numel() for p in env.task.scoring.discriminator.parameters())
            assert f"{n_parameters:,} parameters of the discriminator" in text

    def test_the_starting_state_is_the_empty_prefix(self, env_id: str) -> None:
        env = make(env_id)
        observation, _ = env.reset(seed=0)
        spec, text = env.sequence_spec, sections(env_id, env)["Starting State"]
        assert observation.tolist() == [spec.vocab_size] * spec.max_length
        assert f"is observed as {spec.max_length} times the id {spec.vocab_size}." in text
        vocabulary = env.task.source.vocabulary
        assert ("Tokens have no text" in text) == (vocabulary is None)
        if vocabulary is not None:
            word = vocabulary.tokens[-1]
            assert env.reset(options={"prefix": word})[0][0] == vocabulary.id_of(word)

    def test_episodes_pay_and_end_as_they_say(self, env_id: str) -> None:
        """0 until the last step and then log D, at most 0; T steps, or up to T with end-of-sequence; no truncation."""
        env = make(env_id)
        spec, texts = env.sequence_spec, sections(env_id, env)
        documented = set(re.findall(r"^`(\w+)`:|\. `(\w+)`:", texts["Information"]))
        keys = {a or b for a, b in documented}
        assert keys == {"length", "discriminator_version", "action_mask"}
        rng, lengths = np.random.default_rng(0), set()
        for episode in range(8):
            _, info = env.reset()
            rewards: list[float] = []
            terminated = False
            while not terminated:
                assert info.keys() == keys
                assert info["length"] == len(rewards)
                assert info["action_mask"].dtype == np.int8
                assert f"`{info['action_mask'].shape}`" in texts["Information"]
                assert info["action_mask"].all()
                # with end-of-sequence the first episodes go to the horizon, and the others end before
                ends = spec.eos_id is not None and episode >= 3 and len(rewards) == 3
                action = np.int64(0) if ends else rng.integers(1, spec.vocab_size)
                observation, reward, terminated, truncated, info = env.step(action)
                assert truncated is False
                assert observation in env.observation_space
                rewards.append(reward)
            assert info.keys() == keys
            assert info["action_mask"].all()
            assert not any(rewards[:-1])
            log_d = torch.nn.functional.logsigmoid(
                torch.tensor(env.task.scoring.discriminator.exact_logits(observation[None]))
            )
            assert rewards[-1] == pytest.approx(float(log_d), rel=1e-6)
            assert rewards[-1] <= 0
            lengths.add(len(rewards))
        if spec.eos_id is None:
            assert lengths == {spec.max_length}
            assert f"takes {spec.max_length} steps" in texts["Episode End"]
        else:
            assert lengths == {4, spec.max_length}
            assert f"takes 1 to {spec.max_length} steps" in texts["Episode End"]

    def test_a_discriminator_that_cannot_tell_pays_what_is_said(self, env_id: str) -> None:
        assert "log 1/2 = -0.69." in sections(env_id)["Rewards"]
        env = SeqGANEnv(vocab_size=3, max_length=3, discriminator="tabular")  # every logit is 0
        assert env.score([[0, 1, 2]])[0] == pytest.approx(-0.69, abs=0.005)


class TestEachTask:
    def test_the_paper_s_filters_are_all_there(self) -> None:
        for env_id in ("SeqGAN-v0", "SeqGANLong-v0"):
            discriminator = make(env_id).task.scoring.discriminator
            assert isinstance(discriminator, CNNDiscriminator)
            widths = [int(conv.kernel_size[0]) for conv in discriminator.convolutions]  # type: ignore[index]
            assert (min(widths), max(widths)) == (1, 20)
            assert discriminator.output.in_features == 1720

    def test_the_long_task_begins_as_the_paper_s(self) -> None:
        """The same parameters: the law of the first twenty tokens is that of the shorter task."""
        short, long = (make(env_id).task.source for env_id in ("SeqGAN-v0", "SeqGANLong-v0"))
        assert isinstance(short, LSTMOracle)
        assert isinstance(long, LSTMOracle)
        assert (short.spec.max_length, long.spec.max_length) == (20, 40)
        for a, b in zip(short.parameters, long.parameters, strict=True):
            np.testing.assert_array_equal(a, b)

    def test_the_small_task_has_the_sizes_of_the_preset(self) -> None:
        preset, config = get_preset("small").task, make("SeqGANSmall-v0").task_config
        # the preset names what is a default of the discriminator too
        kwargs = {**dataclasses.asdict(CNNConfig()), **config.discriminator_kwargs}
        assert dataclasses.replace(preset, device="cpu") == dataclasses.replace(config, discriminator_kwargs=kwargs)

    def test_the_paper_s_task_has_the_sizes_of_the_preset(self) -> None:
        preset, config = get_preset("paper").task, make("SeqGAN-v0").task_config
        for name in ("source", "n_real", "n_held_out", "reward"):
            assert getattr(preset, name) == getattr(config, name)
        assert preset.build_source().spec == config.build_source().spec

    def test_the_small_task_fits_a_laptop(self) -> None:
        """In seconds of the processor, so that a busy machine can't blame the code."""
        times = []
        for _ in range(5):
            start = time.process_time()
            env = make("SeqGANSmall-v0")
            env.score(np.zeros((1, 10), dtype=np.int64))  # which makes the discriminator
            times.append(time.process_time() - start)
        assert min(times) < 0.1
        start = time.process_time()
        assert env.task.real_sequences.shape == (20_000, 10)
        assert time.process_time() - start < 5
        assert env.task.held_out_sequences.shape == (10_000, 10)

    def test_the_tiny_task_is_what_is_said(self) -> None:
        env, text = make("SeqGANTiny-v0"), describe("SeqGANTiny-v0").replace("\n", " ")
        spec = env.sequence_spec
        rewards = env.score(enumeration.all_sequences(spec))
        assert len(rewards) == enumeration.n_sequences(spec) == 256
        assert "T = 4, 256 sequences;" in text
        uniform = enumeration.value(spec, env.score, enumeration.uniform_policy(spec))
        best = enumeration.optimal_value(spec, env.score)
        assert best == rewards.max()
        assert uniform == pytest.approx(rewards.mean())
        assert f"the best sequence earns {best:.3f}, the worst {rewards.min():.3f}," in text
        assert f"random tokens {uniform:.3f} on average" in text
        threshold = gym.spec("SeqGANTiny-v0").reward_threshold
        assert threshold == pytest.approx(uniform + 0.95 * (best - uniform), abs=5e-4)
        assert f"a mean reward of {threshold}," in text

    def test_the_grammar_writes_the_sentence_that_is_shown(self) -> None:
        env = make("SeqGANGrammar-v0")
        source, vocabulary = env.task.source, env.task.source.vocabulary
        assert isinstance(source, Grammar)
        assert vocabulary is not None
        assert source.noise == 1 / 500
        found = re.search(r"\*(every .*?)\*", describe("SeqGANGrammar-v0"))
        assert found is not None
        ids = [*vocabulary.encode(found[1]), source.spec.eos_id]
        row = np.full((1, source.spec.max_length), source.spec.pad_id)
        row[0, : len(ids)] = ids
        assert np.isfinite(Grammar(noise=0.0).log_prob(row)).all()

    @pytest.mark.parametrize("level", ["word", "char", "token"])
    def test_a_text_is_read_from_its_path(self, tmp_path: Path, level: str) -> None:
        path = tmp_path / "my.txt"
        path.write_text("a cat sat\na dog\nthe cat saw a dog run\n", encoding="utf-8")
        env = make("SeqGANText-v0", source=str(path), level=level)
        distinct = {"word": {"a", "cat", "sat", "dog", "the", "saw", "run"}, "char": set("a cat sat dog the saw run")}
        distinct["token"], longest = distinct["word"], {"word": 6, "token": 6, "char": len("the cat saw a dog run")}
        assert env.sequence_spec.vocab_size == len(distinct[level]) + 2
        assert env.sequence_spec.max_length == longest[level] + 1
        assert len(env.task.real_sequences) + len(env.task.held_out_sequences) == 3
