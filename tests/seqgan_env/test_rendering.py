"""Rendering: what the text says, what the picture shows, and that neither changes anything."""

from __future__ import annotations

import copy
import itertools
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pytest
import torch
from gymnasium.error import DependencyNotInstalled
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import AddRenderObservation, HumanRendering, RecordVideo, RenderCollection
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from seqgan_env import SeqGANEnv, SeqGANVectorEnv, rendering
from seqgan_env.discriminators import Discriminator, OptimalDiscriminator
from seqgan_env.rendering import COLUMNS, HEIGHT, WIDTH, Episode
from seqgan_env.rewards import REWARDS
from tests.support.package import ROOT
from tests.support.reference_env import TINY
from tools import gif

FILTERS: dict[str, Any] = {"discriminator_kwargs": {"filters": [[1, 4], [2, 4]]}}
GRAMMAR: dict[str, Any] = {"source": "grammar", **FILTERS}
EOS = 0


@pytest.fixture(autouse=True)
def _no_screen() -> None:
    """Where there is a screen, no window opens on it."""
    mpl.use("agg")


def tiny(**kwargs: Any) -> SeqGANEnv:
    return SeqGANEnv(**{**TINY, **kwargs})


def from_file(path: Path, text: str, **kwargs: Any) -> dict[str, Any]:
    """The arguments of a task that has this text as its real sequences."""
    path.write_text(text, encoding="utf-8")
    return {"source": str(path), "n_real": 1, "n_held_out": 1, **FILTERS, **kwargs}


def write(env: SeqGANEnv, n: int, seed: int = 0) -> list[Any]:
    """Up to ``n`` random steps and, where there is a mode, a look at each; what the steps returned."""
    env.reset()
    rng, seen = np.random.default_rng(seed), []
    for _ in range(n):
        observation, reward, terminated, _, info = env.step(rng.choice(np.flatnonzero(env.action_masks())))
        seen.append((observation.tolist(), reward, terminated, info["discriminator_version"]))
        env.render()
        if terminated:
            break
    return seen


class TestText:
    def test_it_is_the_text_so_far_and_the_reward_at_the_end(self) -> None:
        env = SeqGANEnv(**GRAMMAR, render_mode="ansi")
        assert env.render() is None  # nothing has begun
        env.reset(options={"prefix": "does a bird sing ?"})
        assert env.render() == "[5/17] does a bird sing?"
        env.load_discriminator(env.discriminator_weights(), version=4)
        _, reward, _, _, _ = env.step(np.int64(EOS))
        assert env.render() == f"[6/17] does a bird sing?\n       reward log D = {reward:.3f} (discriminator v4)"
        env.reset()
        assert env.render() == "[0/17]"

    def test_tokens_without_text_are_shown_by_their_ids(self) -> None:
        env = tiny(render_mode="ansi")
        env.reset(options={"prefix": [2, 0]})
        assert env.render() == "[2/3] 2 0"

    def test_the_reward_is_what_was_paid(self) -> None:
        env = tiny(render_mode="ansi", reward="d", shaping="discriminator")
        reward = write(env, 3)[-1][1]
        assert env.render().endswith(f"reward D with shaping = {reward:.3f} (discriminator v0)")

    @pytest.mark.parametrize("level", ["word", "char"])
    def test_a_long_text_is_wrapped_and_nothing_of_it_is_lost(self, level: str, tmp_path: Path) -> None:
        line = " ".join("Donaudampfschifffahrtsgesellschaft" if i % 3 else f"a{i}" for i in range(50))
        env = SeqGANEnv(**from_file(tmp_path / "a.txt", f"{line}\n" * 5, level=level), render_mode="ansi")
        env.reset(options={"prefix": line})
        lines = env.render().splitlines()
        assert len(lines) > 10
        assert max(map(len, lines)) <= COLUMNS
        margin = lines[0].index("]") + 2
        assert {text[:margin] for text in lines[1:]} == {" " * margin}
        assert "".join(text[margin:] for text in lines).replace(" ", "") == line.replace(" ", "")

    def test_what_a_terminal_would_obey_is_spelt_out(self, tmp_path: Path) -> None:
        env = SeqGANEnv(**from_file(tmp_path / "a.txt", "a\x1b[2J\tb\n" * 5, level="char"), render_mode="ansi")
        env.reset(options={"prefix": "a\x1b[2J\t"})
        assert env.render() == r"[6/8] a\x1b[2J\t"

    def test_it_needs_no_discriminator(self, monkeypatch: pytest.MonkeyPatch) -> None:
        env = tiny(render_mode="ansi")
        env.reset(options={"prefix": [2, 0]})
        monkeypatch.delattr(Discriminator, "exact_logits")
        assert env.render() == "[2/3] 2 0"


WORDS = "Donaudampfschifffahrtsgesellschaftskapitän " * 3 + "床前明月光 नमस्ते مرحبا היי 😀 e\u0301t\u0301 \U00012000"
TASKS: dict[str, dict[str, Any]] = {
    "one step": {"vocab_size": 3, "max_length": 1, **FILTERS},
    "oracle": {"vocab_size": 3, "max_length": 20, **FILTERS},
    "hundred steps": {"vocab_size": 50_000, "max_length": 100, **FILTERS},
    "more tokens than there is room for": {"vocab_size": 10, "max_length": 5000, **FILTERS},
    "grammar": {**GRAMMAR, "min_length": 17},
    "long words": {"text": WORDS, "max_length": 100, "min_length": 100},
    "characters": {"text": WORDS + "\t\x1b\u2028", "level": "char", "max_length": 200, "min_length": 200},
}


def task(name: str, tmp_path: Path) -> dict[str, Any]:
    kwargs = dict(TASKS[name])
    if "text" in kwargs:
        return from_file(tmp_path / "a.txt", f"{kwargs.pop('text')}\n" * 5, **kwargs)
    return kwargs


class TestPicture:
    @pytest.mark.parametrize("name", TASKS)
    def test_every_task_fits(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Tokens stay between the margins and above the chart, and each has a place of its own."""
        env = SeqGANEnv(**task(name, tmp_path), render_mode="rgb_array")
        half = env.sequence_spec.max_length // 2
        for n in (0, half, env.sequence_spec.max_length):
            write(env, 0)
            rng = np.random.default_rng(n)
            for _ in range(n):
                env.step(rng.choice(np.flatnonzero(env.action_masks())))
            # scores of long sequences take minutes, and all that matters here is where they are shown
            d_T = np.linspace(0.01, 0.99, n)
            monkeypatch.setattr(env.task.scoring, "beginning_logits", lambda tokens_T, d_T=d_T: np.log(d_T / (1 - d_T)))
            picture = env.render()
            assert picture.dtype == np.uint8
            assert picture.shape == (HEIGHT, WIDTH, 3)
            assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0
            assert (picture[rendering._TEXT[1] : rendering._TEXT[1] + 8] == 255).all()
            assert (picture[:, : rendering._MARGIN - 2] == 255).all()
            assert (picture[:, rendering._END + 2 :] == 255).all()

    def test_it_changes_with_each_token_and_only_then(self) -> None:
        env = tiny(render_mode="rgb_array")
        env.reset()
        pictures = [env.render()]
        for action in (2, 0, 1):
            env.step(np.int64(action))
            pictures.append(env.render())
            np.testing.assert_array_equal(env.render(), pictures[-1])
        for a, b in itertools.combinations(pictures, 2):
            assert (a != b).any()

    @pytest.mark.parametrize("clip", [None, [-0.5, 0.5]], ids=["whole", "cut off"])
    @pytest.mark.parametrize("reward", REWARDS)
    def test_the_colours_are_those_of_d_whatever_the_reward(self, reward: str, clip: list[float] | None) -> None:
        env = tiny(reward=reward, reward_clip=clip, discriminator="tabular", discriminator_kwargs={"scale": 2.0})
        for tokens in itertools.product(range(3), repeat=3):
            tokens_T = np.array(tokens)
            logit_T = env.task.scoring.discriminator.prefix_logits(
                np.array([[tokens[0], 3, 3], [*tokens[:2], 3], tokens])
            )
            d_T = Episode(env.task, tokens_T, None)._probabilities()
            np.testing.assert_allclose(d_T, 1 / (1 + np.exp(-logit_T)), rtol=1e-12)

    def test_the_bars_are_as_high_as_d(self, monkeypatch: pytest.MonkeyPatch) -> None:
        env = tiny(render_mode="rgb_array", reward="d")
        env.reset(options={"prefix": [2, 0]})
        monkeypatch.setattr(env.task.scoring, "beginning_logits", lambda tokens_T: np.log([0.9 / 0.1, 0.2 / 0.8]))
        (top, bottom), slot = rendering._CHART, (rendering._END - rendering._AXIS) / 3
        picture = env.render()
        for t, d in enumerate([0.9, 0.2]):
            column = picture[:, int(rendering._AXIS + (t + 0.5) * slot)]
            rows = np.flatnonzero((column == _rgb(d)).all(axis=1))
            rows = rows[rows > rendering._TEXT[1]]
            low, high = sorted((0.5, d))
            assert rows.min() == pytest.approx(bottom - high * (bottom - top), abs=2)
            assert rows.max() == pytest.approx(bottom - low * (bottom - top), abs=2)

    def test_orange_grey_and_blue_carry_black_letters(self) -> None:
        """The contrast of WCAG 2.2, for which 4.5 is enough."""
        for d in np.linspace(0, 1, 101):
            assert (_luminance(_rgb(d)) + 0.05) / (_luminance((34, 34, 34)) + 0.05) > 4.5

    def test_a_discriminator_may_know_complete_sequences_only(self) -> None:
        env = SeqGANEnv(**GRAMMAR, render_mode="rgb_array")
        source = env.task.source
        env.set_discriminator(OptimalDiscriminator(env.sequence_spec, source.log_prob, lambda t: np.full(len(t), -9.0)))  # type: ignore[attr-defined]
        env.reset(options={"prefix": "a bird sleeps"})
        before = env.render()
        env.step(np.int64(EOS))
        assert (env.render() != before).any()

    def test_letters_come_from_a_font_that_has_them(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        broken = font_manager.FontEntry(str(tmp_path / "gone.ttf"), "Gone")
        (tmp_path / "bad.ttf").write_bytes(b"no font")
        bad = font_manager.FontEntry(str(tmp_path / "bad.ttf"), "Bad")
        monkeypatch.setattr(font_manager.fontManager, "ttflist", [broken, bad, *font_manager.fontManager.ttflist])
        rendering._face.cache_clear()
        assert rendering._face("naïve") == rendering._PLAIN
        assert Path(rendering._face("\u27e6\U0001d49c")).is_file()
        monkeypatch.setattr(font_manager.fontManager, "ttflist", [broken, bad])
        rendering._face.cache_clear()
        assert rendering._face("床") == rendering._PLAIN
        rendering._face.cache_clear()


def _rgb(d: float) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", rendering._colour(d))))


def _luminance(rgb: tuple[int, ...]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in rgb)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


class TestItChangesNothing:
    @pytest.mark.parametrize("kwargs", [TINY, {**GRAMMAR, "shaping": "discriminator", "min_length": 17}])
    @pytest.mark.parametrize("mode", ["ansi", "human", "rgb_array"])
    def test_episodes_are_the_same_with_and_without(self, kwargs: dict[str, Any], mode: str) -> None:
        plain, shown = SeqGANEnv(**kwargs), SeqGANEnv(**kwargs, render_mode=mode)
        shown.task.scoring.discriminator.train()  # a mode that rendering must leave as it was
        state, weights = torch.get_rng_state(), copy.deepcopy(shown.task.scoring.discriminator.state_dict())
        for seed in range(3):
            assert write(shown, 20, seed) == write(plain, 20, seed)
        assert shown.task.scoring.discriminator.training
        assert torch.equal(torch.get_rng_state(), state)
        for name, weight in shown.task.scoring.discriminator.state_dict().items():
            assert torch.equal(weight, weights[name])

    def test_a_picture_is_one_call_and_no_mode_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes: list[int] = []
        called = Discriminator.prefix_logits

        def count(self: Discriminator, tokens_BT: Any) -> npt.NDArray[np.float64]:
            sizes.append(len(tokens_BT))
            return called(self, tokens_BT)

        monkeypatch.setattr(Discriminator, "prefix_logits", count)
        env = tiny()
        assert write(env, 3)
        assert env.render() is None
        assert sizes == []
        env = tiny(render_mode="rgb_array")
        env.reset()
        env.render()  # of nothing there is nothing to say
        write(env, 3)
        assert sizes == [1, 2, 3]

    def test_without_a_mode_its_libraries_stay_on_the_disk(self) -> None:
        """The environment imports them when somebody looks."""
        code = (
            "import sys, numpy, seqgan_env; env = seqgan_env.SeqGANEnv(vocab_size=3, max_length=3);"
            "env.reset(); env.step(numpy.int64(0)); assert env.render() is None; print('PIL' in sys.modules)"
        )
        run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert run.stdout.strip() == "False"

    def test_an_unknown_mode_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"render_mode must be one of \['ansi', .*got 'html'"):
            tiny(render_mode="html")


class TestHuman:
    def test_without_a_screen_it_prints_at_each_reset_and_step(self, capsys: pytest.CaptureFixture[str]) -> None:
        env, ansi = tiny(render_mode="human"), tiny(render_mode="ansi")
        expected = []
        for e in (env, ansi):
            e.reset()
            expected.append(e.render())
            for action in (2, 0, 1):
                e.step(np.int64(action))
                expected.append(e.render())
        assert expected[:4] == [None] * 4
        # once by itself and once for each call above
        assert capsys.readouterr().out == "".join(f"{text}\n{text}\n" for text in expected[4:])
        env.close()
        assert plt.get_fignums() == []

    @pytest.fixture
    def screen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A backend that says it has a screen."""
        monkeypatch.setattr(FigureCanvasAgg, "required_interactive_framework", "a screen")
        monkeypatch.setattr(plt.Figure, "show", lambda self: None)
        monkeypatch.setitem(SeqGANEnv.metadata, "render_fps", 1000)

    @pytest.mark.usefixtures("screen")
    def test_on_a_screen_it_shows_the_picture(self, capsys: pytest.CaptureFixture[str]) -> None:
        env, other = tiny(render_mode="human"), tiny(render_mode="rgb_array")
        other.reset()
        for e in (env, other):
            e.reset()
            e.step(np.int64(2))
        assert capsys.readouterr().out == ""
        (number,) = plt.get_fignums()
        figure = plt.figure(number)
        figure.canvas.draw()
        assert isinstance(figure.canvas, FigureCanvasAgg)
        np.testing.assert_array_equal(np.asarray(figure.canvas.buffer_rgba())[..., :3], other.render())
        for duplicate in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
            duplicate.render()
            assert len(plt.get_fignums()) == 2  # a window of its own
            duplicate.close()
            assert plt.get_fignums() == [number]
        plt.close(figure)  # as a person would
        env.render()
        assert len(plt.get_fignums()) == 1
        env.close()
        env.close()
        assert plt.get_fignums() == []

    def test_a_screen_that_fails_is_none(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(**kwargs: Any) -> Any:
            raise ImportError("cannot load backend 'TkAgg'")

        monkeypatch.setattr(plt, "figure", fail)
        tiny(render_mode="human").reset()
        assert capsys.readouterr().out == "[0/3]\n"


class TestVector:
    @pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
    @pytest.mark.parametrize("autoreset", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
    def test_it_shows_what_single_ones_show(self, mode: str, autoreset: AutoresetMode) -> None:
        envs = SeqGANVectorEnv(3, autoreset_mode=autoreset, render_mode=mode, **GRAMMAR)
        single = SyncVectorEnv([lambda: SeqGANEnv(**GRAMMAR, render_mode=mode)] * 3, autoreset_mode=autoreset)
        assert envs.render_mode == single.render_mode == mode
        assert envs.render() is None
        envs.reset()
        single.reset()
        for actions in ([1, 2, 3], [0, 4, 5], [6, 0, 0], [7, 8, 0], [0, 0, 0]):
            for each in (envs, single):
                each.step(np.array(actions))
            shown, expected = envs.render(), single.render()
            assert isinstance(shown, tuple)
            assert len(shown) == len(expected) == 3
            for a, b in zip(shown, expected, strict=True):
                assert type(a) is type(b)
                np.testing.assert_array_equal(a, b)

    def test_without_a_mode_there_is_nothing_to_see(self) -> None:
        envs = SeqGANVectorEnv(2, **TINY)
        envs.reset()
        assert envs.render() is None

    def test_it_is_made_with_a_mode(self) -> None:
        envs = gym.make_vec("SeqGANTiny-v0", num_envs=2, render_mode="ansi", vectorization_mode="vector_entry_point")
        envs.reset()
        assert envs.render() == ("[0/4]", "[0/4]")
        with pytest.raises(ValueError, match=r"render_mode must be one of \['ansi', 'rgb_array'\], got 'human'"):
            SeqGANVectorEnv(2, render_mode="human", **TINY)


class TestWrappers:
    def test_a_collection_of_pictures(self) -> None:
        env = gym.make("SeqGANTiny-v0", render_mode="rgb_array_list")
        assert isinstance(env, RenderCollection)
        env.reset()
        for _ in range(4):
            env.step(np.int64(1))
        pictures = env.render()
        assert isinstance(pictures, list)
        assert [picture.shape for picture in pictures] == [(HEIGHT, WIDTH, 3)] * 5

    def test_pictures_as_observations(self) -> None:
        env = AddRenderObservation(gym.make("SeqGANTiny-v0", render_mode="rgb_array"), render_only=False)
        observation, _ = env.reset()
        assert observation in env.observation_space
        observation = env.step(np.int64(1))[0]
        assert observation in env.observation_space
        np.testing.assert_array_equal(observation["pixels"], env.render())

    @pytest.mark.parametrize(("wrapper", "package"), [(HumanRendering, "pygame"), (RecordVideo, "moviepy")])
    def test_those_that_want_a_package_more(
        self, wrapper: Any, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They take the environment and stop at nothing but the package."""
        monkeypatch.setitem(sys.modules, package, None)
        kwargs = {"video_folder": str(tmp_path)} if wrapper is RecordVideo else {}
        with pytest.raises(DependencyNotInstalled, match=package):
            wrapper(gym.make("SeqGANTiny-v0", render_mode="rgb_array"), **kwargs).reset()


class TestGif:
    def test_the_one_of_the_readme(self) -> None:
        file = ROOT / "docs/episode.gif"
        assert file.stat().st_size < 300_000
        with Image.open(file) as image:
            assert image.size == (WIDTH, HEIGHT)
            assert getattr(image, "n_frames", 1) > 15

    def test_it_is_made_of_two_episodes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gif, "trained", lambda env: env.task.real_sequences[:50])
        gif.main(tmp_path / "a.gif")
        with Image.open(tmp_path / "a.gif") as image:
            durations = []
            for i in range(getattr(image, "n_frames", 1)):
                image.seek(i)
                durations.append(image.info["duration"])
        assert set(durations) == {gif.STEP_MS, gif.END_MS}
        assert durations.count(gif.END_MS) == 2
        assert durations[-1] == gif.END_MS
