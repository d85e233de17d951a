"""A model that some tokens are forbidden to: its softmax is the model's own, cut off and scaled up to 1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from seqgan_env.autoregressive import CORES, AutoregressiveModel, ConstrainedModel
from seqgan_env.tokens import SequenceSpec, Tokens
from tests.support import reference
from tests.support.significance import assert_frequencies

SPEC = SequenceSpec(4, 4, eos_id=0)


def no_repetition(prefix_BT: Tokens) -> npt.NDArray[np.bool_]:
    """A token may not follow itself, and no sequence ends with its first token."""
    length_B = SPEC.lengths(prefix_BT)
    last_B = prefix_BT[np.arange(len(prefix_BT)), np.maximum(length_B, 1) - 1]
    allowed_BV = np.ones((len(prefix_BT), 4), dtype=np.bool_)
    open_B = (length_B > 0) & ~SPEC.is_complete(prefix_BT)
    allowed_BV[open_B, last_B[open_B]] = False
    allowed_BV[length_B == 0, 0] = False
    return allowed_BV


def models(core: str = "lstm") -> tuple[AutoregressiveModel, ConstrainedModel]:
    torch.manual_seed(3)
    model = AutoregressiveModel(SPEC, core, embedding_dim=4, hidden_dim=4).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    model.eval()
    return model, ConstrainedModel(model, no_repetition)


def slow_log_prob(model: AutoregressiveModel, tokens_BT: Tensor) -> Tensor:
    """Each token's log-probability from the whole softmax, cut off by hand; with gradient."""
    rows = []
    for row_T in tokens_BT:
        terms = []
        logit_TV = model.output(model.hidden(row_T[None]))[0]
        for t, token in enumerate(row_T):
            if token == SPEC.pad_id:
                terms.append(torch.zeros((), dtype=logit_TV.dtype))
                continue
            prefix_T = torch.where(torch.arange(4) < t, row_T, SPEC.pad_id)
            allowed_V = torch.from_numpy(no_repetition(prefix_T[None].numpy())[0])
            terms.append(logit_TV[t].masked_fill(~allowed_V, -torch.inf).log_softmax(0)[token])
        rows.append(torch.stack(terms))
    return torch.stack(rows)


def allowed_rows() -> Tensor:
    """All complete sequences that keep to the constraint."""
    kept = []
    for row_T in reference.all_sequences(SPEC):
        prefixes = np.where(np.arange(4) < np.arange(SPEC.lengths(row_T))[:, None], row_T, SPEC.pad_id)
        if no_repetition(prefixes)[np.arange(len(prefixes)), row_T[: len(prefixes)]].all():
            kept.append(row_T)
    return torch.from_numpy(np.stack(kept))


@pytest.mark.theory
@pytest.mark.parametrize("core", CORES)
def test_likelihoods_and_their_gradients_are_those_of_the_cut_softmax(core: str) -> None:
    model, constrained = models(core)
    rows_BT = allowed_rows()
    expected_BT = slow_log_prob(model, rows_BT)
    torch.testing.assert_close(constrained.log_prob(rows_BT), expected_BT, rtol=1e-9, atol=1e-9)
    assert float(expected_BT.detach().sum(dim=1).exp().sum()) == pytest.approx(1, abs=1e-9)  # it is a distribution
    factor_BT = torch.randn(rows_BT.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights = list(model.parameters())
    theirs = torch.autograd.grad((factor_BT * slow_log_prob(model, rows_BT)).sum(), weights)
    weighted = constrained.weighted_log_prob(rows_BT, factor_BT)[0]
    for total in ((factor_BT * constrained.log_prob(rows_BT)).sum(), weighted):
        for ours, true in zip(torch.autograd.grad(total, weights), theirs, strict=True):
            torch.testing.assert_close(ours, true, rtol=1e-8, atol=1e-9)


@pytest.mark.theory
@pytest.mark.parametrize("core", CORES)
def test_sequences_are_drawn_as_often_as_they_are_likely(core: str) -> None:
    """A chi-square test of complete sequences, from the empty prefix and from a given one."""
    _, constrained = models(core)
    rows_BT = allowed_rows()
    p_B = constrained.log_prob(rows_BT).sum(dim=1).exp().detach().numpy()
    drawn = constrained.draw(6000, seed=1)
    index = {tuple(row): i for i, row in enumerate(rows_BT.tolist())}
    counts = np.bincount([index[tuple(row)] for row in drawn.tolist()], minlength=len(p_B))
    assert_frequencies(counts, p_B)
    given = constrained.draw(300, seed=2, prefix=[1, 2])
    assert (given[:, :2] == [1, 2]).all()
    assert all(tuple(row) in index for row in given.tolist())


def test_the_likeliest_allowed_token_is_chosen() -> None:
    model, constrained = models()
    prefix_BT = torch.tensor([[4, 4, 4, 4], [1, 4, 4, 4], [2, 1, 4, 4]])
    greedy_B = constrained.choose(constrained.read(prefix_BT), top_k=1)
    logit_BV = model.output(model.read(prefix_BT)[0])
    allowed_BV = torch.from_numpy(no_repetition(prefix_BT.numpy()))
    assert torch.equal(greedy_B, logit_BV.masked_fill(~allowed_BV, -torch.inf).argmax(dim=1))


def test_its_weights_are_the_model_s() -> None:
    model, constrained = models()
    assert {id(p) for p in constrained.parameters()} == {id(p) for p in model.parameters()}
    constrained.train()
    assert model.core.training
    with pytest.raises(ValueError, match="of the tokens of a sequence alone"):
        constrained.all_log_prob(allowed_rows())
