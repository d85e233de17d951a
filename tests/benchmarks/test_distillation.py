"""Direct distillation: sentences of the mixture, and a generator that becomes it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.runs.config import RunConfig
from agents.runs.experiment import Experiment
from benchmarks import distillation
from seqgan_env.discriminators import build_discriminator, load_discriminator
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import lstm, show
from tests.support.runs import TINY, changed
from tests.support.significance import assert_frequencies, counts_of

SMALL = {"embedding_dim": 3, "hidden_dim": 4, "n_members": 2}


@pytest.mark.parametrize("spec", [SequenceSpec(3, 3, 0), SequenceSpec(2, 3)], ids=show)
def test_sentences_are_those_of_the_mixture(spec: SequenceSpec) -> None:
    """Each as often as the product of the members' mean probabilities says."""
    kwargs = {**SMALL, "generator_kwargs": {"embedding_dim": 3, "hidden_dim": 4}}
    discriminator = build_discriminator("generative", spec, kwargs=kwargs).double()
    for seed, member in enumerate(discriminator.members):
        member.load_state_dict(lstm(spec, seed).state_dict())
    rows_KT = reference.all_sequences(spec)
    policies = [reference.next_token_of(member) for member in discriminator.members]
    p_K = [
        np.prod([np.mean([policy(row[:t])[row[t]].item() for policy in policies]) for t in range(len(row))])
        for row in reference.unpadded(spec, rows_KT)
    ]
    assert_frequencies(counts_of(distillation.draw(discriminator, 4_000, seed=0), rows_KT), np.array(p_K))


def test_the_generator_of_a_run_learns_from_the_models_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For about the time that it is given, and once."""
    config: RunConfig = changed(TINY, pretraining={"n_epochs": 1}, evaluation={"n": 10})
    monkeypatch.setattr(distillation, "N_DRAWN", 64)
    monkeypatch.setattr(
        distillation,
        "build_discriminator",
        lambda name, spec, *, seed, kwargs: build_discriminator(
            name, spec, seed=seed, kwargs={**kwargs, **SMALL, "n_epochs": 1}
        ),
    )
    Experiment(config, tmp_path / "run", progress=False).run(pretraining_only=True)
    learned = tmp_path / "p.safetensors"
    distillation.fit(config, learned)
    weights = load_discriminator(learned).state_dict()
    distillation.fit(config, learned)
    assert all(torch.equal(weights[name], tensor) for name, tensor in load_discriminator(learned).state_dict().items())
    row = distillation.distil(config, tmp_path / "run", learned, 0.5, tmp_path / "row.json")
    assert row["n_epochs"] >= 1
    assert [set(record) for record in row["records"]] == [{*distillation.KEPT, "phase"}] * 9
    kept = json.loads((tmp_path / "row.json").read_text())
    assert {name: kept[name] for name in row} == row
    monkeypatch.setattr(distillation, "draw", None)
    assert distillation.distil(config, tmp_path / "run", learned, 0.5, tmp_path / "row.json") == row
