"""A small language model of Transformers, trained by TRL's GRPO on what the discriminator of a run says of its texts.

The run, on sentences of the embedded grammar, takes a minute; no model or data is fetched. From the project's root::

    python3 -m venv build/trl
    build/trl/bin/pip install --no-deps --extra-index-url https://download.pytorch.org/whl/cpu "torch==2.13.0+cpu"
    build/trl/bin/pip install -c constraints.txt -e .
    build/trl/bin/pip install trl==1.16.0
    build/trl/bin/python benchmarks/consumers/trl_grpo.py

The second line is for Linux, where PyPI's own torch brings gigabytes of CUDA libraries.
"""

from __future__ import annotations

import dataclasses
import tempfile
from importlib.metadata import version
from pathlib import Path

from datasets import Dataset  # type: ignore[import-not-found]
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast  # type: ignore[import-not-found]
from trl import GRPOConfig, GRPOTrainer  # type: ignore[import-not-found]

from agents import as_trl_reward
from agents.runs.experiment import Experiment
from agents.runs.presets import PRESETS


def train_run(folder: Path) -> list[str]:
    """Train a weak generator and a discriminator that knows it; return the words of the task."""
    base = PRESETS["demo"]
    config = dataclasses.replace(
        base,
        pretraining=dataclasses.replace(base.pretraining, n_epochs=5),
        adversary=dataclasses.replace(base.adversary, n_rounds=20),
        agent=dataclasses.replace(base.agent, n_updates=0),
    )
    experiment = Experiment(config, folder)
    experiment.run()
    vocabulary = experiment.game.task.source.vocabulary
    assert vocabulary is not None
    return [vocabulary.decode([i]) for i in range(1, len(vocabulary))]


def save_language_model(folder: Path, words: list[str]) -> None:
    """A GPT-2 of two layers with random weights, over the words."""
    ids = {word: i for i, word in enumerate(["<pad>", "<eos>", "<unk>", *words])}
    tokenizer = Tokenizer(WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    sizes = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 32}
    config = GPT2Config(vocab_size=len(ids), pad_token_id=0, bos_token_id=1, eos_token_id=1, **sizes)
    GPT2LMHeadModel(config).save_pretrained(folder)


# begin: page
def make_trainer(run: Path, model: Path, out: Path, n_steps: int) -> GRPOTrainer:
    """GRPO of a model on what the discriminator of a run says of whole texts, prompt and completion."""
    settings = GRPOConfig(
        str(out),
        per_device_train_batch_size=64,
        num_generations=16,
        max_completion_length=14,
        max_steps=n_steps,
        learning_rate=1e-3,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        bf16=False,
    )
    prompts = Dataset.from_dict({"prompt": ["the "] * 64})
    reward = as_trl_reward(run, with_prompts=True)
    return GRPOTrainer(model=str(model), reward_funcs=reward, args=settings, train_dataset=prompts)


# end: page


def main(n_steps: int = 200) -> None:
    """Train, and print the mean reward of the first and the last steps."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_language_model(folder / "model", train_run(folder / "run"))
        trainer = make_trainer(folder / "run", folder / "model", folder / "out", n_steps)
        trainer.train()
        rewards = [entry["reward"] for entry in trainer.state.log_history if "reward" in entry]
    print(", ".join(f"{name} {version(name)}" for name in ("trl", "transformers", "torch")))
    for name, some in (("first", rewards[:10]), ("last", rewards[-10:])):
        print(f"mean log D of the {name} ten steps: {sum(some) / len(some):.2f}")


if __name__ == "__main__":
    main()
