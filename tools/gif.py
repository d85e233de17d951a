"""Make the moving picture of the README: ``python tools/gif.py docs/episode.gif``, in half a minute.

A generator that has read the real sentences once writes ten thousand, and a discriminator learns to tell them from real
ones. Of two hundred new ones the picture shows the one that looks most real to it and the one that disappoints it most,
as ``SeqGANGrammar-v0`` with ``render_mode="rgb_array"`` shows them. Everything follows one seed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
from PIL import Image

from agents import SeqGAN
from seqgan_env import SeqGANEnv
from seqgan_env.discriminators import DiscriminatorTrainer
from seqgan_env.rendering import Picture
from seqgan_env.seeding import torch_rng
from seqgan_env.tokens import Tokens

SEED = 0
N_TRAINING, N_NEW = 10_000, 200
"""Numbers of generated sentences: to train the discriminator on, and to choose from."""
LENGTHS = range(8, 13)
"""The lengths that are shown, in tokens: long enough to say something, short enough to watch."""
STEP_MS, END_MS = 500, 4_000
"""Duration of each picture, and of the last one of an episode."""


def trained(env: SeqGANEnv) -> Tokens:
    """Train the environment's discriminator and return new sentences of the generator, shape ``(N_NEW, T)``."""
    agent = SeqGAN("LstmPolicy", env, seed=SEED, device="cpu")
    agent.pretrain(env.task.real_sequences, n_epochs=1)
    written = agent.generator.sample(N_TRAINING + N_NEW, torch_rng(SEED, "gif")).numpy()
    trainer = DiscriminatorTrainer(env.task.scoring.discriminator, learning_rate=1e-3, seed=SEED)
    trainer.fit(env.task.real_sequences, written[:N_TRAINING], n_epochs=5)
    env.load_discriminator(env.discriminator_weights())  # counts as the next version
    return written[N_TRAINING:]


def episode(env: SeqGANEnv, tokens_T: Tokens) -> list[Picture]:
    """The pictures of an episode that writes this sentence."""
    env.reset()
    pictures = [env.render()]
    for token in tokens_T[env.sequence_spec.is_token(tokens_T)]:
        env.step(token)
        pictures.append(env.render())
    return pictures


def main(out: Path) -> None:
    """Write the picture.

    Args:
        out: the file, ``.gif``.
    """
    env = gym.make("SeqGANGrammar-v0", render_mode="rgb_array").unwrapped
    assert isinstance(env, SeqGANEnv)
    written = trained(env)
    written = written[np.isin(env.sequence_spec.lengths(written), LENGTHS)]
    d_after = [1 / (1 + np.exp(-env.task.scoring.beginning_logits(tokens_T))) for tokens_T in written]
    pictures: list[Picture] = []
    durations: list[int] = []
    for b in (np.argmax([d[-1] for d in d_after]), np.argmax([d.max() - d[-1] for d in d_after])):
        print(" ".join(env.task.words(written[b])), d_after[b].round(3))
        shown = episode(env, written[b])
        pictures += shown
        durations += [STEP_MS] * (len(shown) - 1) + [END_MS]
    # one palette for all pictures, so that what stands still in them is stored once
    palette = Image.fromarray(np.concatenate(pictures)).quantize(255)
    frames = [Image.fromarray(p).quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    frames[0].save(out, save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True)
    print(f"{out}: {len(frames)} pictures, {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
