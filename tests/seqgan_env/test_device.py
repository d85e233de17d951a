"""On a CPU what batches lack is left out; on a GPU no shape and no branch of a round depends on a tensor's values.

Tensors on torch's device "meta" have shapes but no values, and whatever asks for a value fails: what runs there never
waits for a GPU. That the form for the GPU gives the right numbers is what ``tests/agents/test_monte_carlo.py`` is run
twice for.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents import SeqGAN, make_seqgan_vec_env
from agents.baselines import BASELINES, advantages, root_mean_square
from agents.losses import last_step_loss, policy_gradient_factors
from agents.monte_carlo import action_values, last_step
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.autoregressive import model as model_module
from seqgan_env.device import may_look, resolve_device
from seqgan_env.discriminators import CNNDiscriminator
from seqgan_env.discriminators.cnn import CNNConfig
from seqgan_env.tokens import SequenceSpec
from tests.support.builders import every_kind, make_generator

EOS = pytest.mark.parametrize("eos_id", [None, 3])
BATCH = 4


def on_meta(kind: str, spec: SequenceSpec) -> AutoregressiveModel:
    return AutoregressiveModel(spec, kind).to("meta")


def test_a_device_that_is_absent_is_refused_in_one_line() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    absent = "mps" if torch.cuda.is_available() or not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(ValueError, match=f"got '{absent}'") as caught:
        resolve_device(absent)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_what_looks_at_a_value_fails() -> None:
    """The premise of the tests below."""
    x = torch.zeros(3, device="meta")
    assert not may_look(x.device)
    for look in (lambda: x.item(), lambda: x.nonzero(), lambda: x[x > 0], lambda: x.cpu(), lambda: bool(x.any())):
        with pytest.raises((RuntimeError, NotImplementedError)):
            look()


@EOS
@every_kind
@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize(("stratified", "exact_last_step"), [(False, False), (True, True)])
def test_an_estimate_and_its_gradient_never_wait(
    kind: str, eos_id: int | None, baseline: str, stratified: bool, exact_last_step: bool
) -> None:
    spec = SequenceSpec(50, 4, eos_id)  # a first token, one between, the last but one, the last
    policy, discriminator = on_meta(kind, spec), CNNDiscriminator(spec).to("meta")
    tokens_BT = torch.zeros(BATCH, 4, dtype=torch.int64, device="meta")
    reward_B = torch.zeros(BATCH, dtype=torch.float64, device="meta")
    scored = []

    def score(tokens_MT: torch.Tensor) -> torch.Tensor:
        scored.append(len(tokens_MT))
        return torch.nn.functional.logsigmoid(discriminator.tensor_logits(tokens_MT).double())

    last = last_step(policy, tokens_BT, score) if exact_last_step else None
    q_BT = action_values(policy, tokens_BT, reward_B, score, n_completions=3, stratified=stratified, last=last)
    assert scored[-1] == 3 * BATCH * (2 if exact_last_step else 3)
    chosen_BT = tokens_BT != spec.pad_id
    advantage_BT = advantages(q_BT, chosen_BT, baseline, policy.hidden(tokens_BT).detach())
    factor_BT = policy_gradient_factors(advantage_BT / root_mean_square(advantage_BT, chosen_BT), chosen_BT)
    loss = -policy.weighted_log_prob(tokens_BT, factor_BT)[0]
    if last is not None:
        loss = loss + last_step_loss(last.log_prob_MV, last.q_MV, BATCH)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(policy.parameters(), 5.0)
    assert all(p.grad is not None and p.grad.device.type == "meta" for p in policy.parameters())


@pytest.mark.theory
@every_kind
def test_the_likelihood_is_the_same_without_a_look(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eq. 13.31 and its gradient, where sequences have ended: the form for a GPU and that for a CPU."""
    spec = SequenceSpec(5, 6, 1)
    policy = make_generator(kind, spec, 0)
    tokens_BT = torch.randint(2, 5, (20, 6), generator=torch.Generator().manual_seed(0))
    for b in range(20):
        tokens_BT[b, b % 6 :] = spec.pad_id
        tokens_BT[b, b % 6] = 1
    factor_BT = torch.randn(20, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def everything() -> list[torch.Tensor]:
        policy.zero_grad()
        total, log_prob_BT = policy.weighted_log_prob(tokens_BT, factor_BT)
        total.backward()
        grads = [p.grad.clone() for p in policy.parameters() if p.grad is not None]
        policy.zero_grad()
        plain_BT = policy.log_prob(tokens_BT)
        (plain_BT * factor_BT).sum().backward()
        grads += [p.grad.clone() for p in policy.parameters() if p.grad is not None]
        return [total.detach(), log_prob_BT, plain_BT.detach(), *grads]

    looked = everything()
    monkeypatch.setattr(model_module, "may_look", lambda _: False)
    for a, b in zip(looked, everything(), strict=True):
        torch.testing.assert_close(a, b)


def of_any_length(spec: SequenceSpec, n: int, longest: int) -> torch.Tensor:
    """Complete sequences of 1 to ``longest`` tokens, in no order."""
    random = torch.Generator().manual_seed(longest)
    tokens_BT = torch.randint(2, spec.vocab_size, (n, spec.max_length), generator=random)
    length_B = torch.randint(1, longest + 1, (n,), generator=random)
    tokens_BT[torch.arange(n), length_B - 1] = 1
    return tokens_BT.masked_fill(torch.arange(spec.max_length) >= length_B[:, None], spec.pad_id)


@pytest.mark.theory
class TestWhatIsLeftOut:
    """Eq. 13.31 and 13.32 for a batch of short sequences are those beside a long one, for which nothing is spared."""

    spec = SequenceSpec(30, 12, 1)
    filters = ((1, 5), (3, 4), (12, 3))

    @pytest.mark.parametrize("longest", [1, 2, 5, 11, 12])
    @pytest.mark.parametrize("prepared", [False, True])
    def test_by_the_discriminator(self, longest: int, prepared: bool) -> None:
        torch.manual_seed(0)
        discriminator = CNNDiscriminator(self.spec, CNNConfig(8, self.filters)).double().eval()
        score = discriminator.scorer(1000) if prepared else discriminator
        assert (score is not discriminator) is prepared
        short_BT = of_any_length(self.spec, 9, longest)
        long_1T = torch.full((1, 12), 2)
        n_windows = []
        for conv in discriminator._convolutions:
            conv.register_forward_hook(lambda *call: n_windows.append(call[2].shape[2]))
        alone_B, beside_B = score(short_BT), score(torch.cat([short_BT, long_1T]))[:-1]
        torch.testing.assert_close(alone_B, beside_B)
        if not prepared:
            reached = int((short_BT != self.spec.pad_id).sum(dim=1).max())
            assert n_windows == [min(12 - w + 1, reached + 1) for w, _ in self.filters] + [12, 10, 1]
            gradients = [
                torch.autograd.grad(x_B.sum(), list(discriminator.parameters())) for x_B in (alone_B, beside_B)
            ]
            for a, b in zip(*gradients, strict=True):
                torch.testing.assert_close(a, b)

    def test_by_sorting_what_is_scored(self) -> None:
        torch.manual_seed(0)
        discriminator = CNNDiscriminator(self.spec, CNNConfig(8, self.filters)).double()
        tokens_BT = of_any_length(self.spec, 50, 12)
        one_by_one = [discriminator.logits(row_T[None])[0] for row_T in tokens_BT]
        np.testing.assert_allclose(discriminator.logits(tokens_BT, batch_size=7), one_by_one, rtol=1e-12)

    @every_kind
    @pytest.mark.parametrize("longest", [1, 5, 12])
    def test_by_the_policy(self, kind: str, longest: int) -> None:
        policy = make_generator(kind, self.spec, 0)
        short_BT = of_any_length(self.spec, 9, longest)
        beside_BT = policy.log_prob(torch.cat([short_BT, torch.full((1, 12), 2)]))[:-1]
        torch.testing.assert_close(policy.log_prob(short_BT), beside_BT)

    @every_kind
    def test_by_sorting_what_is_likely(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        policy = make_generator(kind, self.spec, 0)
        tokens_BT = of_any_length(self.spec, 50, 12)
        one_by_one = [policy.log_prob(row_T[None]).double().sum().item() for row_T in tokens_BT]
        monkeypatch.setattr(model_module, "_CHUNK_TOKENS", 7 * 12)
        np.testing.assert_allclose(policy.sequence_log_prob(tokens_BT.numpy()), one_by_one, rtol=1e-6)

    @every_kind
    def test_of_nothing_is_nothing(self, kind: str) -> None:
        policy = make_generator(kind, self.spec, 0)
        empty_BT = torch.full((3, 12), self.spec.pad_id)
        assert policy.log_prob(empty_BT).tolist() == np.zeros((3, 12)).tolist()
        assert policy.sequence_log_prob(empty_BT[:0].numpy()).shape == (0,)


def test_scores_of_an_environment_in_this_process_stay_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make_seqgan_vec_env("SeqGANTiny-v0", n_envs=2, reward_clip=[-0.69, None])
    agent = SeqGAN("LstmPolicy", env, seed=0)
    scoring = env.get_attr("task")[0].scoring
    tokens_BT = agent.generator.sample(300, torch.Generator().manual_seed(0))
    looked_B = agent._score(tokens_BT)
    assert (looked_B == -0.69).any()
    assert (looked_B > -0.69).any()
    torch.testing.assert_close(scoring.score_tensor(tokens_BT), looked_B)
    scoring.discriminator.to("meta")
    monkeypatch.setattr(scoring, "_device", torch.device("meta"))
    monkeypatch.setattr(env, "env_method", None)  # which hands arrays around
    scored_B = agent._score(tokens_BT.to("meta"))
    assert (scored_B.device.type, scored_B.shape, scored_B.dtype) == ("meta", (300,), torch.float64)
