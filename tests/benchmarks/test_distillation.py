"""The language models that several runs share, and that teach a generator without a game."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from agents.runs.config import RunConfig
from agents.runs.experiment import Experiment
from benchmarks import distillation, language_models
from benchmarks.curves import KEPT
from seqgan_env.discriminators import Discriminator, build_discriminator, load_discriminator
from tests.support.runs import TINY, changed

SMALL = {"embedding_dim": 3, "hidden_dim": 4, "n_members": 2}


def test_the_generator_of_a_run_learns_from_the_models_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For about the time that it is given, and once."""
    config: RunConfig = changed(TINY, pretraining={"n_epochs": 1}, evaluation={"n": 10})
    monkeypatch.setattr(
        language_models,
        "build_discriminator",
        lambda name, spec, *, seed, kwargs: build_discriminator(
            name, spec, seed=seed, kwargs={**kwargs, **SMALL, "n_epochs": 1}
        ),
    )
    records = Experiment(config, tmp_path / "run", progress=False).run(pretraining_only=True)
    learned = tmp_path / "p.safetensors"
    language_models.fit(config, learned)
    weights = load_discriminator(learned).state_dict()
    language_models.fit(config, learned)
    assert all(torch.equal(weights[name], tensor) for name, tensor in load_discriminator(learned).state_dict().items())
    with pytest.raises(ValueError, match=r"p\.json has other settings: real"):  # of another language
        language_models.fit(config.changed({"task": {"source_seed": 5}}), learned)
    interrupted = tmp_path / "q.safetensors"
    save = language_models.save_discriminator

    def save_once(discriminator: Discriminator, path: Path) -> None:
        save(discriminator, path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(language_models, "save_discriminator", save_once)
        for _ in range(SMALL["n_members"]):
            with pytest.raises(KeyboardInterrupt):  # after each model, of which none is fitted again
                language_models.fit(config, interrupted)
    assert load_discriminator(interrupted.with_suffix(".part")).n_fitted == 2
    language_models.fit(config, interrupted)
    again = load_discriminator(interrupted).state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in again.items())
    assert {file.name for file in tmp_path.glob("q.*")} == {"q.json", "q.safetensors"}
    row = distillation.train(config, tmp_path / "run", learned, 2, tmp_path / "row.json")
    assert row["n_epochs"] == 2
    start, taught = (
        {r["temperature"]: r["kl_forward"] for r in own if "temperature" in r} for own in (records, row["records"])
    )
    assert start.keys() == taught.keys()
    assert all(start[t] != taught[t] for t in start)
    assert [set(record) for record in row["records"]] == [{*KEPT, "phase"}] * 9
    kept = json.loads((tmp_path / "row.json").read_text())
    assert {name: kept[name] for name in row} == row
    monkeypatch.setattr(distillation, "RunFolder", lambda _: pytest.fail("it is taught again"))
    assert distillation.train(config, tmp_path / "run", learned, 2, tmp_path / "row.json") == row
