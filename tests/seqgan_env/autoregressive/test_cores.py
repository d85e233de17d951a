"""The cores: each against its equations written out, and the rules by which their states can be handled."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from seqgan_env.autoregressive import CORES, AutoregressiveModel, Core, CoreConfig, CoreState, register_core
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import SPECS, every_kind, lstm, make_generator, show
from tests.support.reference import NextToken, Prefix
from tests.support.significance import assert_frequencies, counts_of

Weights = dict[str, Tensor]


# ------------------------------------------------------------------------------------------- the equations written out


def gru_layer(weights: Weights, inputs: list[Tensor]) -> list[Tensor]:
    """h_t = g(h_{t-1}, x_t) of eq. 13.28 for the GRU."""
    hidden_H, outputs = torch.zeros(weights["weight_hh_l0"].shape[1], dtype=torch.float64), []
    for input_E in inputs:
        x_H = weights["weight_ih_l0"] @ input_E
        reset_H, update_H, candidate_H = (x_H + weights["bias_ih_l0"]).chunk(3)
        h_H = weights["weight_hh_l0"] @ hidden_H + weights["bias_hh_l0"]
        from_reset_H, from_update_H, from_candidate_H = h_H.chunk(3)
        reset_H, update_H = torch.sigmoid(reset_H + from_reset_H), torch.sigmoid(update_H + from_update_H)
        hidden_H = (1 - update_H) * torch.tanh(candidate_H + reset_H * from_candidate_H) + update_H * hidden_H
        outputs.append(hidden_H)
    return outputs


def lstm_layer(weights: Weights, inputs: list[Tensor]) -> list[Tensor]:
    """h_t = g(h_{t-1}, x_t) of eq. 13.28 for the LSTM."""
    hidden_H = cell_H = torch.zeros(weights["weight_hh_l0"].shape[1], dtype=torch.float64)
    outputs = []
    for input_E in inputs:
        gates = weights["weight_ih_l0"] @ input_E + weights["bias_ih_l0"] + weights["bias_hh_l0"]
        admit_H, keep_H, candidate_H, show_H = (gates + weights["weight_hh_l0"] @ hidden_H).chunk(4)
        cell_H = torch.sigmoid(keep_H) * cell_H + torch.sigmoid(admit_H) * torch.tanh(candidate_H)
        hidden_H = torch.sigmoid(show_H) * torch.tanh(cell_H)
        outputs.append(hidden_H)
    return outputs


Layer = Callable[[Weights, list[Tensor]], list[Tensor]]


def recurrent_hidden(layer: Layer, weights: Weights, inputs: Prefix) -> list[Tensor]:
    """The outputs of the last layer, each of which reads those of the one before."""
    outputs = [weights["core.embedding.weight"][token] for token in inputs]
    n_layers = sum(name.endswith("weight_hh_l0") for name in weights)
    for prefix in ("core.rnn.", *(f"core.upper.{k}." for k in range(n_layers - 1))):
        own = {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
        outputs = layer(own, outputs)
    return outputs


def gru_hidden(weights: Weights, inputs: Prefix) -> list[Tensor]:
    return recurrent_hidden(gru_layer, weights, inputs)


def lstm_hidden(weights: Weights, inputs: Prefix) -> list[Tensor]:
    return recurrent_hidden(lstm_layer, weights, inputs)


def attention_hidden(weights: Weights, inputs: Prefix) -> list[Tensor]:
    """The weights a_tj over the LSTM's outputs, the context c_t, and what they make of h_t."""
    outputs, attended = lstm_hidden(weights, inputs), []
    for t, output_H in enumerate(outputs):
        query_H = weights["core.query.weight"] @ output_H
        scores = [torch.exp(query_H @ outputs[j] / len(query_H) ** 0.5) for j in range(t + 1)]
        context_H = sum((scores[j] * outputs[j] for j in range(t + 1)), torch.zeros_like(output_H)) / sum(scores)
        both = torch.cat([context_H, output_H])
        attended.append(torch.tanh(weights["core.combine.weight"] @ both + weights["core.combine.bias"]))
    return attended


def transformer_hidden(weights: Weights, inputs: Prefix, n_layers: int = 2, n_heads: int = 2) -> list[Tensor]:
    """Position by position, head by head."""

    def linear(name: str, x: Tensor) -> Tensor:
        return weights[f"core.{name}.weight"] @ x + weights[f"core.{name}.bias"]

    def norm(name: str, x: Tensor) -> Tensor:
        standard = (x - x.mean()) / ((x - x.mean()) ** 2).mean().add(1e-5).sqrt()
        return weights[f"core.{name}.weight"] * standard + weights[f"core.{name}.bias"]

    def gelu(x: Tensor) -> Tensor:
        return x * (1 + torch.erf(x / 2**0.5)) / 2

    token, position = weights["core.embedding.weight"], weights["core.position.weight"]
    xs = [linear("enter", token[v] + position[t]) for t, v in enumerate(inputs)]
    for i in range(n_layers):
        name = f"layers.{i}"
        parts = [linear(f"{name}.attention_in.1", norm(f"{name}.attention_in.0", x)).chunk(3) for x in xs]
        heads = [[part.chunk(n_heads) for part in triple] for triple in parts]
        after = []
        for t, x in enumerate(xs):
            seen = []
            for a in range(n_heads):
                query = heads[t][0][a]
                scores = [torch.exp(query @ heads[j][1][a] / len(query) ** 0.5) for j in range(t + 1)]
                mean = sum((scores[j] * heads[j][2][a] for j in range(t + 1)), torch.zeros_like(query)) / sum(scores)
                seen.append(mean)
            x = x + linear(f"{name}.attention_out", torch.cat(seen))
            inner = gelu(linear(f"{name}.feed_forward.1", norm(f"{name}.feed_forward.0", x)))
            after.append(x + linear(f"{name}.feed_forward.3", inner))
        xs = after
    return [norm("norm", x) for x in xs]


WRITTEN_OUT: dict[str, Callable[[Weights, Prefix], list[Tensor]]] = {
    "lstm": lstm_hidden,
    "gru": gru_hidden,
    "attention": attention_hidden,
    "transformer": transformer_hidden,
}


def written_out(policy: AutoregressiveModel) -> NextToken:
    """Eq. 13.28-13.30 from the numbers in the policy: softmax(W h_t + c)."""
    (hidden_of,) = (WRITTEN_OUT[name] for name, core in CORES.items() if core is type(policy.core))
    weights = {name: tensor.double() for name, tensor in policy.state_dict().items()}

    def next_token(prefix: Prefix) -> Tensor:
        hidden_H = hidden_of(weights, (policy.spec.pad_id, *prefix))[-1]
        weight_V = torch.exp(weights["output.weight"] @ hidden_H + weights["output.bias"])
        return weight_V / weight_V.sum()

    return next_token


RECURRENT = ("lstm", "gru", "attention")
every_depth = pytest.mark.parametrize(
    ("kind", "kwargs"),
    [*((name, {}) for name in CORES), *((name, {"n_layers": 3}) for name in RECURRENT)],
    ids=[*CORES, *(f"{name} of 3 layers" for name in RECURRENT)],
)


@pytest.mark.theory
@every_depth
@pytest.mark.parametrize("spec", SPECS, ids=show)
def test_the_distribution_is_that_of_the_equations(spec: SequenceSpec, kind: str, kwargs: dict[str, int]) -> None:
    """Eq. 13.28-13.30 for every token of every sequence."""
    policy = make_generator(kind, spec, **kwargs)
    next_token = written_out(policy)
    rows = reference.sequences(spec)
    with torch.no_grad():
        log_prob_BT = policy.log_prob(torch.from_numpy(reference.padded(spec, rows)))
    for b, row in enumerate(rows):
        expected = [torch.log(next_token(row[:t])[row[t]]).item() for t in range(len(row))]
        np.testing.assert_allclose(log_prob_BT[b, : len(row)], expected, rtol=0, atol=1e-12)


def test_the_references_agree_on_the_lstm() -> None:
    policy = lstm(SequenceSpec(3, 3))
    ours, theirs = written_out(policy), reference.lstm_next_token(policy)
    for prefix in reference.open_prefixes(policy.spec):
        torch.testing.assert_close(ours(prefix), theirs(prefix), rtol=0, atol=1e-14)


# ------------------------------------------------------------------------------------------------- the rules of states

SPEC = SequenceSpec(5, 6)


def states_at(policy: AutoregressiveModel, tokens_BT: Tensor, length_B: list[int]) -> CoreState:
    """One lane for each row, which has read the start symbol and so many of its tokens; each lane stepped alone."""
    lanes = []
    for tokens_T, length in zip(tokens_BT, length_B, strict=True):
        state = policy.core.initial_state(1)
        for symbol in (policy.spec.pad_id, *tokens_T[:length].tolist()):
            state = policy.core.step(torch.tensor([symbol]), state)
        lanes.append(state)
    return tuple(torch.cat(parts) for parts in zip(*lanes, strict=True))


def random_tokens(n: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(SPEC.vocab_size, size=(n, SPEC.max_length)))


@pytest.mark.parametrize("kind", ["lstm", "gru", "attention"])
def test_the_weights_of_a_copy_lie_in_one_piece(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU cuDNN would warn at every pass; a CPU can only see that it is asked for, of each layer of the copy."""
    generator = make_generator(kind, SPEC, n_layers=2)
    flattened: list[nn.Module] = []
    monkeypatch.setattr(nn.RNNBase, "flatten_parameters", lambda layer: flattened.append(layer))
    copied = copy.deepcopy(generator)
    assert set(flattened) == {module for module in copied.modules() if isinstance(module, nn.RNNBase)}


@every_depth
class TestStates:
    @given(lengths=st.lists(st.integers(0, SPEC.max_length - 1), min_size=1, max_size=6), seed=st.integers(0, 1000))
    @settings(max_examples=20)
    def test_lanes_of_different_lengths_take_a_step_together(
        self, kind: str, kwargs: dict[str, int], lengths: list[int], seed: int
    ) -> None:
        """Together or each alone: the same state, and what it predicts is what the whole sequences' reading says."""
        policy = make_generator(kind, SPEC, seed, **kwargs)
        tokens_BT = random_tokens(len(lengths), seed)
        row_B, at_B = torch.arange(len(lengths)), torch.tensor(lengths)
        with torch.no_grad():
            together = policy.step(tokens_BT[row_B, at_B], states_at(policy, tokens_BT, lengths))
            alone = states_at(policy, tokens_BT, [length + 1 for length in lengths])
            start_B1 = torch.full((len(lengths), 1), SPEC.pad_id)
            hidden_BTH = policy.core(torch.cat([start_B1, tokens_BT], dim=1))
        for ours, theirs in zip(together, alone, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
        torch.testing.assert_close(together[0], hidden_BTH[row_B, at_B + 1], rtol=0, atol=1e-12)

    def test_a_step_leaves_the_state_as_it_was(self, kind: str, kwargs: dict[str, int]) -> None:
        policy = make_generator(kind, SPEC, **kwargs)
        with torch.no_grad():
            state = states_at(policy, random_tokens(4, 0), [0, 3, 5, 2])
            before = [part.clone() for part in state]
            first, second = (policy.step(torch.arange(4), state) for _ in range(2))
        assert all(torch.equal(part, old) for part, old in zip(state, before, strict=True))
        assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
        # and overwriting a lane of the new state, as the collection of episodes does, reaches no other tensor
        for part in first:
            part[1] = 0
        assert all(torch.equal(part, old) for part, old in zip(state, before, strict=True))
        assert all(torch.equal(one[0], other[0]) for one, other in zip(first, second, strict=True))

    def test_lanes_are_gathered_joined_and_overwritten(self, kind: str, kwargs: dict[str, int]) -> None:
        policy = make_generator(kind, SPEC, **kwargs)
        tokens_BT = random_tokens(4, 1)
        with torch.no_grad():
            state = states_at(policy, tokens_BT, [1, 4, 0, 5])
            index = torch.tensor([3, 0, 0])
            gathered = tuple(part[index] for part in state)
            joined = tuple(torch.cat([one, other]) for one, other in zip(gathered, state, strict=True))
            mask_M = torch.tensor([True, False, True, False, False, True, False])
            mixed = tuple(torch.where(mask_M.view(-1, *[1] * (part.ndim - 1)), part, part.flip(0)) for part in joined)
            source = torch.tensor([3, 0, 0, 0, 1, 2, 3])
            source = torch.where(mask_M, source, source.flip(0))
            expected = states_at(policy, tokens_BT[source], [[1, 4, 0, 5][lane] for lane in source])
            for ours, theirs in zip(policy.step(source, mixed), policy.step(source, expected), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)

    def test_the_first_dimension_is_the_lane(self, kind: str, kwargs: dict[str, int]) -> None:
        policy = make_generator(kind, SPEC, **kwargs)
        for n in (0, 1, 3):
            state = policy.core.initial_state(n)
            stepped = policy.core.step(torch.zeros(n, dtype=torch.int64), state)
            for old, new in zip(state, stepped, strict=True):
                assert len(old) == n
                assert (old.shape, old.dtype) == (new.shape, new.dtype)
            assert stepped[0].shape == (n, 4)

    @pytest.mark.theory
    def test_later_inputs_change_no_earlier_state(self, kind: str, kwargs: dict[str, int]) -> None:
        """Eq. 13.28: h_t is made of x_1 to x_t."""
        policy = make_generator(kind, SPEC, **kwargs)
        tokens_BT = random_tokens(10, 2)
        with torch.no_grad():
            before_BTH = policy.core(tokens_BT)
            for t in range(SPEC.max_length):
                other_BT = tokens_BT.clone()
                other_BT[:, t] = (other_BT[:, t] + 1) % SPEC.vocab_size
                after_BTH = policy.core(other_BT)
                assert torch.equal(after_BTH[:, :t], before_BTH[:, :t])
                assert (after_BTH[:, t:] != before_BTH[:, t:]).any(dim=2).all()


@pytest.mark.parametrize("kind", ["attention", "transformer"])
def test_slots_that_were_not_written_are_not_read(kind: str) -> None:
    policy = make_generator(kind, SPEC)
    with torch.no_grad():
        state = states_at(policy, random_tokens(3, 0), [0, 2, 4])
        # a lane that has read the start symbol and n tokens has written n + 1 slots; a step writes one more
        spoilt = [part.clone() for part in state]
        for part in spoilt:
            if part.ndim > 2:
                for b, length in enumerate([0, 2, 4]):
                    part[b, length + 1 :] = 1e3
        clean_BH, spoilt_BH = (policy.step(torch.arange(3), tuple(parts))[0] for parts in (state, spoilt))
    assert any((one != other).any() for one, other in zip(state, spoilt, strict=True))
    assert torch.equal(clean_BH, spoilt_BH)


@pytest.mark.parametrize("kind", ["attention", "transformer"])
def test_no_lane_reads_more_than_the_longest_sequence(kind: str) -> None:
    policy = make_generator(kind, SPEC)
    state = states_at(policy, random_tokens(1, 0), [SPEC.max_length])
    with pytest.raises(IndexError):
        policy.step(torch.tensor([0]), state)


@given(n_layers=st.integers(1, 3), n_heads=st.integers(1, 4), width=st.integers(1, 3))
@settings(max_examples=15)
def test_the_transformer_has_the_size_it_is_given(n_layers: int, n_heads: int, width: int) -> None:
    """Step by step as all at once, with any number of layers and heads."""
    policy = make_generator("transformer", SPEC, hidden_dim=n_heads * width, n_layers=n_layers, n_heads=n_heads)
    assert len(policy.core.initial_state(1)) == 2 + 2 * n_layers
    tokens_BT = random_tokens(3, 0)
    with torch.no_grad():
        hidden_BTH = policy.core(torch.cat([torch.full((3, 1), SPEC.pad_id), tokens_BT], dim=1))
        stepped = states_at(policy, tokens_BT, [6, 1, 4])
    torch.testing.assert_close(stepped[0], hidden_BTH[torch.arange(3), [6, 1, 4]], rtol=0, atol=1e-10)


@every_kind
def test_embeddings_begin_with_the_standard_deviation_that_is_asked_for(kind: str) -> None:
    weights = []
    for std in (1.0, 0.1):
        torch.manual_seed(0)
        model = AutoregressiveModel(SequenceSpec(2_000, 3), kind, embedding_std=std)
        weights.append(model.core.embedding.weight.detach())
    assert float(weights[0].std()) == pytest.approx(1.0, rel=0.05)
    assert torch.equal(weights[1], 0.1 * weights[0])


@pytest.mark.parametrize("kind", RECURRENT)
def test_a_gradient_is_taken_in_the_mode_that_cudnn_wants(kind: str) -> None:
    """On a GPU there is no gradient of an LSTM or a GRU in evaluation mode; no result depends on the mode."""
    model, tokens_BT = make_generator(kind, SPEC, n_layers=2), random_tokens(3, 0)
    recurrent = [module for module in model.modules() if isinstance(module, (nn.LSTM, nn.GRU))]
    model.eval()
    with_gradient_BT = model.log_prob(tokens_BT)
    assert all(module.training for module in recurrent)
    with torch.no_grad():
        assert torch.equal(model.log_prob(tokens_BT), with_gradient_BT)
    assert not any(module.training for module in recurrent)


class TestDepth:
    @pytest.mark.theory
    @pytest.mark.parametrize("kind", RECURRENT)
    def test_samples_follow_the_likelihood(self, kind: str) -> None:
        """Eq. 13.30: what is drawn step by step is as likely as all at once."""
        spec = SequenceSpec(3, 3, eos_id=0)
        model, outcomes_BT = make_generator(kind, spec, n_layers=2), reference.all_sequences(spec)
        counts = counts_of(model.draw(20_000), outcomes_BT)
        assert_frequencies(counts, np.exp(model.sequence_log_prob(outcomes_BT)))

    @pytest.mark.parametrize("kind", RECURRENT)
    def test_one_layer_has_the_weights_and_the_noise_that_it_has_without_the_option(self, kind: str) -> None:
        model = make_generator(kind, SPEC, dropout=0.5)
        assert not any("upper" in name for name in model.state_dict())
        tokens_BT, rng = random_tokens(3, 0), torch.Generator().manual_seed(0)
        model.core(tokens_BT, rng)
        expected = torch.Generator().manual_seed(0)
        for size in (3, 4):  # of the embedding and of the state
            torch.rand(3, SPEC.max_length, size, generator=expected, dtype=torch.float64)
        assert torch.equal(rng.get_state(), expected.get_state())

    @pytest.mark.parametrize("kind", RECURRENT)
    @pytest.mark.parametrize("variational", [False, True])
    def test_between_layers_elements_are_dropped(self, kind: str, variational: bool) -> None:
        """The second layer reads the first one's outputs, some dropped and the others scaled up."""
        model = make_generator(kind, SPEC, n_layers=2, dropout=0.5, variational=variational)
        first, second = model.core.rnn, model.core.upper[0]
        assert isinstance(first, torch.nn.Module)
        seen: list[Tensor] = []
        first.register_forward_hook(lambda _, inputs, outputs: seen.append(outputs[0]))
        second.register_forward_hook(lambda _, inputs, outputs: seen.append(inputs[0]))
        with torch.no_grad():
            one, same = (model.core(random_tokens(3, 0), torch.Generator().manual_seed(1)) for _ in range(2))
            assert torch.equal(one, same)
            output_BTH, read_BTH = seen[0], seen[1]
            kept_BTH = read_BTH != 0
            assert 0 < kept_BTH.sum() < kept_BTH.numel()
            torch.testing.assert_close(read_BTH[kept_BTH], 2 * output_BTH[kept_BTH])
            assert (kept_BTH == kept_BTH[:, :1]).all() == variational
            seen.clear()
            model.core(random_tokens(3, 0))
            assert torch.equal(seen[0], seen[1])

    @pytest.mark.parametrize("kind", RECURRENT)
    @pytest.mark.parametrize("n_layers", [0, 1.5, True])
    def test_no_layers_are_refused(self, kind: str, n_layers: Any) -> None:
        with pytest.raises(ValueError, match="n_layers must be a whole number"):
            AutoregressiveModel(SPEC, kind, n_layers=n_layers)


class LastTwo(Core):
    """A core of a user: the embeddings of the last two inputs, side by side."""

    def __init__(self, spec: SequenceSpec, config: CoreConfig) -> None:
        super().__init__(spec, config)
        self.mix = torch.nn.Linear(2 * config.embedding_dim, config.hidden_dim)

    def read(self, embedded_BTE: Tensor, rng: torch.Generator | None = None) -> Tensor:
        before_BTE = torch.cat([torch.zeros_like(embedded_BTE[:, :1]), embedded_BTE[:, :-1]], dim=1)
        return torch.tanh(self.mix(torch.cat([before_BTE, embedded_BTE], dim=2)))

    def initial_state(self, n: int) -> CoreState:
        weight = self.embedding.weight
        return weight.new_zeros(n, self.hidden_dim), weight.new_zeros(n, self.config.embedding_dim)

    def step(self, input_B: Tensor, state: CoreState) -> CoreState:
        embedded_BE = self.embedding(input_B)
        return torch.tanh(self.mix(torch.cat([state[1], embedded_BE], dim=1))), embedded_BE


class TestRegister:
    @pytest.fixture
    def model(self) -> Iterator[AutoregressiveModel]:
        register_core("last_two", LastTwo)
        try:
            torch.manual_seed(0)
            yield AutoregressiveModel(SequenceSpec(3, 4, 0), "last_two", embedding_dim=3, hidden_dim=5).double()
        finally:
            CORES.unregister("last_two")

    @pytest.mark.theory
    def test_a_core_of_a_user_makes_a_distribution(self, model: AutoregressiveModel) -> None:
        """Eq. 13.31: the probabilities of all sequences sum to 1."""
        assert isinstance(model.core, LastTwo)
        assert (model.core.hidden_dim, model.output.in_features) == (5, 5)
        assert np.exp(model.sequence_log_prob(reference.all_sequences(model.spec))).sum() == pytest.approx(1, abs=1e-12)

    @pytest.mark.theory
    def test_its_samples_follow_its_likelihood(self, model: AutoregressiveModel) -> None:
        """Eq. 13.30: what is drawn step by step is as likely as all at once."""
        outcomes_BT = reference.all_sequences(model.spec)
        counts = counts_of(model.draw(20_000), outcomes_BT)
        assert_frequencies(counts, np.exp(model.sequence_log_prob(outcomes_BT)))

    @pytest.mark.usefixtures("model")
    @pytest.mark.parametrize("name", CORES)
    def test_a_name_that_is_taken_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match=f"a core named '{name}' is registered already"):
            register_core(name, LastTwo)

    @pytest.mark.parametrize("core", [torch.nn.LSTM, LastTwo.forward, type("Undocumented", (LastTwo,), {})])
    def test_what_is_no_documented_core_is_refused(self, core: Any) -> None:
        with pytest.raises(ValueError, match="a core must be a documented subclass of Core, got "):
            register_core("other", core)
        assert "other" not in CORES

    def test_an_unknown_core_is_refused_by_name(self) -> None:
        with pytest.raises(ValueError, match="core must be one of lstm, gru, attention, transformer; got 'rnn'"):
            AutoregressiveModel(SPEC, "rnn")
        names = "embedding_dim, hidden_dim, dropout, variational, embedding_std, n_layers"
        with pytest.raises(ValueError, match=f"core 'lstm' takes {names}; got n_heads"):
            AutoregressiveModel(SPEC, "lstm", n_heads=2)
