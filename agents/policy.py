"""The generator as a policy: the state is the prefix, the action is the next token."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor, nn

from agents.likelihood import token_log_prob, weighted_log_prob
from agents.networks import AttentionCore, Core, CoreState, GruCore, LstmCore, TransformerCore
from agents.sampling import check_sampling, sample_tokens
from seqgan_env.device import may_look
from seqgan_env.parallel import parallel_map, row_parts
from seqgan_env.tokens import SequenceSpec, Tokens

_CHUNK_TOKENS = 1 << 14  # read at once where no gradient is needed


class AutoregressivePolicy(BasePolicy):
    """A generator ``G_theta`` whose next-token distribution is ``softmax(W h_t + c)`` (eq. 13.30).

    The first input is the padding id V, which no token has. Subclasses choose the core that makes ``h_t``.

    Args:
        observation_space: ``Box(0, V, (T,))``, the padded prefix.
        action_space: ``Discrete(V)``.
        lr_schedule: step size of the policy gradient's optimiser, by remaining progress.
        eos_id: the end-of-sequence token, or None.
        embedding_dim: E.
        hidden_dim: H.
        optimizer_class: the policy gradient's optimiser.
        optimizer_kwargs: its further arguments.
        **core_kwargs: further arguments of the core.

    Raises:
        ValueError: the spaces are not those of a sequence task, or a size does not fit.
    """

    core_class: ClassVar[type[Core]] = Core

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        *,
        eos_id: int | None = None,
        embedding_dim: int = 32,
        hidden_dim: int = 32,
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
        **core_kwargs: Any,
    ) -> None:
        super().__init__(
            observation_space, action_space, optimizer_class=optimizer_class, optimizer_kwargs=optimizer_kwargs
        )
        if not isinstance(action_space, spaces.Discrete) or not (
            isinstance(observation_space, spaces.Box) and len(observation_space.shape) == 1
        ):
            raise ValueError(
                f"the spaces must be Box(0, V, (T,)) and Discrete(V), got {observation_space} and {action_space}"
            )
        if embedding_dim < 1 or hidden_dim < 1:
            raise ValueError(f"embedding_dim and hidden_dim must be at least 1, got {embedding_dim} and {hidden_dim}")
        self.spec = SequenceSpec(int(action_space.n), observation_space.shape[0], eos_id)
        if self.core_class is Core:
            raise NotImplementedError(f"{type(self).__name__} must choose a core")
        self.core = self.core_class(self.spec, embedding_dim, hidden_dim, **core_kwargs)
        self.output = nn.Linear(hidden_dim, self.spec.vocab_size)
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]
        self._sizes = {"eos_id": eos_id, "embedding_dim": embedding_dim, "hidden_dim": hidden_dim, **core_kwargs}

    # The distribution

    def log_prob(self, tokens_BT: Tensor, temperature: float = 1.0) -> Tensor:
        """The log-probability of each token given those before it (the factors of eq. 13.31), with gradient.

        It is that of the whole softmax at this temperature, also for tokens that were drawn with top-k or top-p: those
        cut the softmax off and scale up the rest, in which most sequences have no probability at all.

        Args:
            tokens_BT: sequences, padded with V.
            temperature: the logits are divided by it.

        Returns:
            ``log_prob_BT`` in nats; exactly 0 at padding.
        """
        row_M, arguments = self._output_arguments(tokens_BT, temperature)
        return self._in_place(tokens_BT, row_M, token_log_prob(*arguments))

    def weighted_log_prob(self, tokens_BT: Tensor, factor_BT: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of ``factor * log_prob`` over all tokens, a scalar with gradient: what every objective is.

        It is faster than ``log_prob``, whose gradient has to wait for what becomes of the log-probabilities.

        Args:
            tokens_BT: sequences, padded with V.
            factor_BT: taken as constants; of no consequence at padding.

        Returns:
            The sum, and ``log_prob_BT`` without gradient, as ``log_prob`` gives it.
        """
        row_M, arguments = self._output_arguments(tokens_BT)
        factor_BT = factor_BT.detach().masked_fill(tokens_BT == self.spec.pad_id, 0)
        total, log_prob_M = weighted_log_prob(*arguments, factor_BT.flatten()[row_M].to(arguments[0].dtype))
        return total, self._in_place(tokens_BT, row_M, log_prob_M)

    def _output_arguments(
        self, tokens_BT: Tensor, temperature: float = 1.0
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Rows of the flattened batch, among them all tokens; the states that predict these, the softmax, their ids."""
        n_columns = tokens_BT.shape[1]
        row_M = torch.arange(tokens_BT.numel(), device=tokens_BT.device)
        longest = n_columns
        if may_look(tokens_BT.device):
            is_token_BT = tokens_BT != self.spec.pad_id
            row_M, longest = row_M[is_token_BT.flatten()], int(is_token_BT.any(dim=0).sum())
        hidden_BSH = self.core(self._shift(tokens_BT[:, : max(1, longest)]))
        hidden_MH = hidden_BSH[row_M // n_columns, row_M % n_columns]
        token_M = tokens_BT.flatten()[row_M].clamp(max=self.spec.vocab_size - 1)
        return row_M, (hidden_MH / temperature, self.output.weight, self.output.bias / temperature, token_M)

    def _in_place(self, tokens_BT: Tensor, row_M: Tensor, log_prob_M: Tensor) -> Tensor:
        """The log-probabilities where the tokens are, 0 at padding."""
        log_prob_BT = log_prob_M.new_zeros(tokens_BT.numel()).index_copy(0, row_M, log_prob_M).view(tokens_BT.shape)
        return log_prob_BT.masked_fill(tokens_BT == self.spec.pad_id, 0)

    @torch.no_grad()
    def sequence_log_prob(self, tokens_BT: Tokens, temperature: float = 1.0) -> npt.NDArray[np.float64]:
        """The log-probability of each sequence (eq. 13.31), nats, shape ``(B,)``, in bounded memory."""
        order_B = self.spec.lengths(tokens_BT).argsort(kind="stable")  # a chunk is read as far as its longest goes
        size = max(1, _CHUNK_TOKENS // self.spec.max_length)
        log_prob_B = np.zeros(len(tokens_BT))

        def evaluate(index: npt.NDArray[np.int64]) -> None:
            chunk = torch.from_numpy(tokens_BT[index]).to(self.device)
            log_prob_B[index] = self.log_prob(chunk, temperature).double().sum(dim=1).cpu().numpy()

        chunks = [order_B[start : start + size] for start in range(0, len(tokens_BT), size)]
        parallel_map(evaluate, chunks, self.device)
        return log_prob_B

    # Generation

    def read(self, tokens_BT: Tensor) -> CoreState:
        """The state after reading each prefix: the one that predicts its next token."""
        length_B = (tokens_BT != self.spec.pad_id).sum(dim=1)
        inputs_BT = self._shift(tokens_BT)
        state = self.core.step(inputs_BT[:, 0], self.core.initial_state(len(tokens_BT)))
        for t in range(1, int(length_B.max()) + 1 if len(length_B) else 1):
            stepped = self.core.step(tokens_BT[:, t - 1], state)
            state = tuple(
                torch.where((length_B >= t).view(-1, *[1] * (old.ndim - 1)), new, old)
                for new, old in zip(stepped, state, strict=True)
            )
        return state

    def step(self, token_B: Tensor, state: CoreState) -> CoreState:
        """The state after reading one more token."""
        return self.core.step(token_B, state)

    def choose(
        self,
        state: CoreState,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        *,
        top_k: int | None = None,
        top_p: float | None = None,
        uniform_BN: Tensor | None = None,
    ) -> Tensor:
        """Draw the next token of each sequence, shape ``(B,)``, or N of them; see ``sample_tokens``."""
        return sample_tokens(
            state[0],
            self.output.weight,
            self.output.bias,
            generator=generator,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            uniform_MN=uniform_BN,
        )

    @torch.no_grad()
    def complete(
        self,
        tokens_BT: Tensor,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        *,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> Tensor:
        """Continue each prefix to the end of the sequence.

        Args:
            tokens_BT: prefixes, padded with V; one that has ended stays as it is.
            generator: where the randomness comes from; None is torch's global generator.
            temperature: the logits are divided by it.
            top_k: only the likeliest k tokens are drawn; None is all.
            top_p: only the likeliest tokens that together reach this probability are drawn; None is all.

        Returns:
            Complete sequences, shape ``(B, T)``.
        """
        check_sampling(temperature, top_k, top_p)  # also where no token is missing
        spec, tokens_BT = self.spec, tokens_BT.clone()
        uniform_BT = torch.rand(
            tokens_BT.shape, generator=generator, device=tokens_BT.device, dtype=self.output.weight.dtype
        )

        def finish(rows: slice) -> None:
            """Write the rows' missing tokens."""
            rows_BT = tokens_BT[rows]
            length_B = (rows_BT != spec.pad_id).sum(dim=1)
            ended_B = length_B == spec.max_length
            if spec.eos_id is not None:
                ended_B |= (rows_BT == spec.eos_id).any(dim=1)
            row_M = (~ended_B).nonzero().squeeze(1)
            length_M, state = length_B[row_M], self.read(rows_BT[row_M])
            while len(row_M):
                uniform_M1 = uniform_BT[rows][row_M, length_M, None]
                token_M = self.choose(
                    state, temperature=temperature, top_k=top_k, top_p=top_p, uniform_BN=uniform_M1
                ).squeeze(1)
                rows_BT[row_M, length_M] = token_M
                length_M = length_M + 1
                alive_M = length_M < spec.max_length
                if spec.eos_id is not None:
                    alive_M &= token_M != spec.eos_id
                keep = alive_M.nonzero().squeeze(1)
                row_M, length_M = row_M[keep], length_M[keep]
                if len(keep):
                    state = self.step(token_M[keep], tuple(part[keep] for part in state))

        parts = row_parts(len(tokens_BT), float(spec.max_length * spec.vocab_size))
        parallel_map(finish, parts, tokens_BT.device)
        return tokens_BT

    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        prefix: Any = (),
        *,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> Tensor:
        """Draw ``n`` complete sequences that begin with ``prefix`` (a row of token ids), shape ``(n, T)``.

        The other arguments are those of ``complete``.
        """
        tokens_BT = torch.full((n, self.spec.max_length), self.spec.pad_id, device=self.device)
        if len(prefix):
            tokens_BT[:, : len(prefix)] = torch.as_tensor(prefix, device=self.device)
        return self.complete(tokens_BT, generator, temperature, top_k=top_k, top_p=top_p)

    # What Stable-Baselines3 asks of a policy

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        assert isinstance(observation, Tensor)
        state = self.read(observation.long())
        if deterministic:
            greedy_B: Tensor = self.output(state[0]).argmax(dim=1)
            return greedy_B
        return self.choose(state)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "lr_schedule": self._dummy_schedule,  # what learning has of the optimiser is the algorithm's to save
            "optimizer_class": self.optimizer_class,
            "optimizer_kwargs": self.optimizer_kwargs,
            **self._sizes,
        }

    def _shift(self, tokens_BT: Tensor) -> Tensor:
        """The inputs that predict ``tokens``: the start symbol, then all but the last."""
        return F.pad(tokens_BT[:, :-1], (1, 0), value=self.spec.pad_id)


class LstmPolicy(AutoregressivePolicy):
    """The generator of the SeqGAN paper: an embedding, an LSTM and a softmax; the arguments are the base class's."""

    core_class = LstmCore


class GruPolicy(AutoregressivePolicy):
    """An embedding, a GRU and a softmax; the arguments are the base class's."""

    core_class = GruCore


class AttentionPolicy(AutoregressivePolicy):
    """An LSTM with attention over its outputs so far, and a softmax; the arguments are the base class's."""

    core_class = AttentionCore


class TransformerPolicy(AutoregressivePolicy):
    """A causal transformer and a softmax.

    The arguments are the base class's and those of ``TransformerCore``: ``n_layers`` (2) and ``n_heads`` (4, which must
    divide ``hidden_dim``).
    """

    core_class = TransformerCore


POLICIES: dict[str, type[AutoregressivePolicy]] = {
    policy.__name__: policy for policy in (LstmPolicy, GruPolicy, AttentionPolicy, TransformerPolicy)
}
"""The generators, by the name that ``SeqGAN`` and the command line know them by."""
