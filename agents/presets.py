"""Settings that go well together, by name."""

from __future__ import annotations

from agents.config import TrainConfig

PRESETS: dict[str, TrainConfig] = {
    # The embedded task at a size that two processor cores finish while one watches.
    "grammar": TrainConfig(
        source="grammar",
        n_held_out=10_000,
        discriminator_embedding_dim=32,
        filter_widths=(1, 2, 3, 4, 5),
        filter_counts=(64, 64, 64, 64, 64),
        l2=0.01,
        generator_epochs=20,
        generator_patience=3,
        discriminator_rounds=60,
        discriminator_learning_rate=1e-3,
        n_generated=512,
        n_updates=200,
        n_episodes=128,
        n_completions=4,
        every_n_episodes=128,
        learning_rate=1e-3,
        eval_every=20,
        n_eval=5_000,
        n_threads=1,
    ),
    # The synthetic task of the SeqGAN paper, V = 5000 and T = 20, with its sizes.
    "paper": TrainConfig(
        source="oracle",
        generator_epochs=120,
        generator_patience=10,
        discriminator_rounds=50,
        n_generated=10_000,
        discriminator_epochs=3,
        n_updates=200,
        n_completions=16,
        every_n_episodes=64,
        eval_every=5,
    ),
    # The same task at a size for trying things out.
    "small": TrainConfig(
        source="oracle",
        vocab_size=100,
        max_length=10,
        n_real=20_000,
        n_held_out=10_000,
        embedding_dim=16,
        hidden_dim=16,
        discriminator_embedding_dim=32,
        filter_widths=(1, 2, 3, 4, 5),
        filter_counts=(64, 64, 64, 64, 64),
        l2=0.01,
        generator_epochs=30,
        generator_patience=3,
        discriminator_rounds=60,
        discriminator_learning_rate=1e-3,
        n_generated=512,
        n_updates=600,
        n_episodes=256,
        n_completions=2,
        every_n_episodes=256,
        learning_rate=3e-3,
        final_learning_rate=3e-4,
        eval_every=60,
        n_eval=5_000,
        n_threads=1,
    ),
    # A text file of some ten thousand lines.
    "text": TrainConfig(
        source="",
        embedding_dim=64,
        hidden_dim=128,
        min_count=2,
        filter_widths=(1, 2, 3, 4, 5),
        filter_counts=(100, 100, 100, 100, 100),
        generator_epochs=30,
        generator_patience=3,
        generator_learning_rate=3e-3,
        discriminator_rounds=10,
        n_generated=1024,
        discriminator_learning_rate=3e-4,
        n_updates=60,
        n_completions=8,
        every_n_episodes=128,
        eval_every=10,
    ),
}
"""The presets by name; ``source`` chooses one where none is named."""


def preset_for(source: str) -> str:
    """The preset that a source gets by default."""
    return {"grammar": "grammar", "oracle": "paper"}.get(source, "paper" if source.endswith(".pkl") else "text")


def get_preset(name: str) -> TrainConfig:
    """Look a preset up.

    Raises:
        ValueError: there is no preset of that name.
    """
    if name not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}; got {name!r}")
    return PRESETS[name]
