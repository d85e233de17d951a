"""The autoregressive model: the likelihood of sequences, and drawing from it.

Dimensions: B sequences, T time, S the longest of some sequences, M rows of the batch, V vocabulary, H hidden, N draws.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqgan_env import mdp
from seqgan_env.autoregressive.cores import CoreState, build_core, rows_of
from seqgan_env.autoregressive.likelihood import token_log_prob, weighted_log_prob
from seqgan_env.autoregressive.sampling import Temperature, check_sampling, sample_tokens
from seqgan_env.checks import NonNegativeInt, PositiveInt, ShareAboveZero, check_arguments, shown
from seqgan_env.descent import check_weights
from seqgan_env.device import check_memory, may_look
from seqgan_env.parallel import parallel_map, row_parts
from seqgan_env.seeding import torch_rng
from seqgan_env.tokens import SequenceSpec, Tokens
from seqgan_env.weights import within_memory

_CHUNK_TOKENS = 1 << 14  # read at once where no gradient is needed
_SAMPLE_ROWS = 8192  # sequences drawn at once, so that memory stays bounded


class AutoregressiveModel(nn.Module):
    """A distribution over sequences whose next token follows ``softmax(W h_t + c)`` (eq. 13.28-13.31).

    The core makes ``h_t`` of the tokens so far. The first input is the padding id V, which no token has.

    Args:
        spec: the form of the sequences.
        core: a key of ``CORES``.
        **core_arguments: fields of the core's ``Config``: ``embedding_dim``, ``hidden_dim``, …

    Raises:
        ValueError: an unknown core, or an argument that it does not take or that is out of range.
    """

    @check_arguments
    def __init__(self, spec: SequenceSpec, core: str = "lstm", **core_arguments: Any) -> None:
        super().__init__()
        self.spec = spec
        with within_memory(f"a model of {spec.vocab_size} tokens with the core {core!r} of {shown(core_arguments)}"):
            self.core = build_core(core, spec, core_arguments)
            self.output = nn.Linear(self.core.hidden_dim, spec.vocab_size)

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return self.output.weight.device

    def hidden(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """The state that predicts each token, ``h_BTH``: entry t has read the tokens before t and no other.

        Args:
            tokens_BT: sequences, padded with V.
            rng: where dropout takes its noise from; None drops nothing.
        """
        hidden_BTH: Tensor = self.core(self.spec.with_start(tokens_BT[:, :-1]), rng)
        return hidden_BTH

    def log_prob(self, tokens_BT: Tensor, temperature: float = 1.0, *, rng: torch.Generator | None = None) -> Tensor:
        """The log-probability of each token given those before it (the factors of eq. 13.31), with gradient.

        Args:
            tokens_BT: sequences, padded with V.
            temperature: the logits are divided by it; nothing is cut off as by top-k or top-p.
            rng: where dropout takes its noise from; None drops nothing.

        Returns:
            ``log_prob_BT`` in nats; exactly 0 at padding.
        """
        row_M, arguments = self._output_arguments(tokens_BT, temperature, rng)
        return self._in_place(tokens_BT, row_M, token_log_prob(*arguments, self._allowed_rows(tokens_BT, row_M)))

    def all_log_prob(self, tokens_BT: Tensor) -> Tensor:
        """``log_prob`` of every token that might stand in each place, ``log_prob_BTV``, nats; 0 at padding."""
        log_prob_BTV: Tensor = self.output(self.hidden(tokens_BT)).log_softmax(dim=2)
        return log_prob_BTV.masked_fill(~self.spec.is_token(tokens_BT)[:, :, None], 0)

    def weighted_log_prob(
        self, tokens_BT: Tensor, factor_BT: Tensor, *, rng: torch.Generator | None = None, smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """The sum of ``factor * log_prob`` over all tokens, a scalar with gradient. Every objective has this form.

        Args:
            tokens_BT: sequences, padded with V.
            factor_BT: taken as constants; of no consequence at padding.
            rng: where dropout takes its noise from; None drops nothing.
            smoothing: s of label smoothing: in the sum, each log-probability becomes ``1 - s`` of itself and ``s`` of
                the mean over all tokens.

        Returns:
            The sum, and ``log_prob_BT`` without gradient, as ``log_prob`` gives it.
        """
        row_M, arguments = self._output_arguments(tokens_BT, rng=rng)
        factor_BT = factor_BT.detach().masked_fill(~self.spec.is_token(tokens_BT), 0)
        factor_M, allowed_MV = factor_BT.flatten()[row_M], self._allowed_rows(tokens_BT, row_M)
        total, log_prob_M = weighted_log_prob(*arguments, factor_M.to(arguments[0].dtype), smoothing, allowed_MV)
        return total, self._in_place(tokens_BT, row_M, log_prob_M)

    def _output_arguments(
        self, tokens_BT: Tensor, temperature: float = 1.0, rng: torch.Generator | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Rows of the flattened batch, among them all tokens; the states that predict these, the softmax, their ids."""
        n_columns = tokens_BT.shape[1]
        row_M = torch.arange(tokens_BT.numel(), device=tokens_BT.device)
        longest = n_columns
        if may_look(tokens_BT.device):
            is_token_BT = self.spec.is_token(tokens_BT)
            row_M, longest = row_M[is_token_BT.flatten()], int(is_token_BT.any(dim=0).sum())
        hidden_BSH = self.hidden(tokens_BT[:, : max(1, longest)], rng)
        hidden_MH = hidden_BSH[row_M // n_columns, row_M % n_columns]
        token_M = tokens_BT.flatten()[row_M].clamp(max=self.spec.vocab_size - 1)
        return row_M, (hidden_MH / temperature, self.output.weight, self.output.bias / temperature, token_M)

    def _allowed_next(self, state: CoreState) -> Tensor | None:
        """The tokens that may come next, ``(B, V)``; None is all."""
        return None

    def _allowed_rows(self, tokens_BT: Tensor, row_M: Tensor) -> Tensor | None:
        """The tokens that may stand in rows of the flattened batch, ``(M, V)``; None is all."""
        return None

    def _in_place(self, tokens_BT: Tensor, row_M: Tensor, log_prob_M: Tensor) -> Tensor:
        """The log-probabilities where the tokens are, 0 at padding."""
        log_prob_BT = log_prob_M.new_zeros(tokens_BT.numel()).index_copy(0, row_M, log_prob_M).view(tokens_BT.shape)
        return log_prob_BT.masked_fill(~self.spec.is_token(tokens_BT), 0)

    @torch.no_grad()
    def sequence_log_prob(self, tokens_BT: Tokens | Tensor, temperature: float = 1.0) -> npt.NDArray[np.float64]:
        """The log-probability of each sequence (eq. 13.31), nats, shape ``(B,)``, summed in double precision."""
        log_prob_B: npt.NDArray[np.float64] = self.token_log_prob(tokens_BT, temperature).sum(axis=1)
        return log_prob_B

    @torch.no_grad()
    def token_log_prob(self, tokens_BT: Tokens | Tensor, temperature: float = 1.0) -> npt.NDArray[np.float64]:
        """``log_prob`` without gradient, in bounded memory, as an array of shape ``(B, T)``."""
        tokens_BT = tokens_BT.cpu().numpy() if isinstance(tokens_BT, Tensor) else tokens_BT  # a reward has tensors
        order_B = self.spec.lengths(tokens_BT).argsort(kind="stable")  # a chunk is read as far as its longest goes
        size = max(1, _CHUNK_TOKENS // self.spec.max_length)
        log_prob_BT = np.zeros(tokens_BT.shape)

        def evaluate(index: npt.NDArray[np.int64]) -> None:
            chunk = torch.from_numpy(tokens_BT[index]).to(self.device)
            log_prob_BT[index] = self.log_prob(chunk, temperature).double().cpu().numpy()

        chunks = [order_B[start : start + size] for start in range(0, len(tokens_BT), size)]
        parallel_map(evaluate, chunks, self.device)
        return log_prob_BT

    def start(self, n: int) -> CoreState:
        """The state of ``n`` empty prefixes: the one that predicts their first token."""
        start_B = torch.full((n,), self.spec.pad_id, device=self.device)
        return self.core.step(start_B, self.core.initial_state(n))

    def read(self, tokens_BT: Tensor) -> CoreState:
        """The state after reading each prefix: the one that predicts its next token."""
        length_B = self.spec.lengths(tokens_BT)
        state = self.start(len(tokens_BT))
        for t in range(1, int(length_B.max()) + 1 if len(length_B) else 1):
            stepped = self.step(tokens_BT[:, t - 1], state)
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
        rng: torch.Generator | None = None,
        temperature: float = 1.0,
        *,
        top_k: int | None = None,
        top_p: float | None = None,
        uniform_BN: Tensor | None = None,
    ) -> Tensor:
        """Draw the next token of each sequence, shape ``(B,)``, or N of them; see ``sample_tokens``."""
        softmax, allowed_BV = (state[0], self.output.weight, self.output.bias), self._allowed_next(state)
        sampling: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        return sample_tokens(*softmax, rng=rng, uniform_MN=uniform_BN, allowed_MV=allowed_BV, **sampling)

    @torch.no_grad()
    def complete(
        self,
        tokens_BT: Tensor,
        rng: torch.Generator | None = None,
        temperature: float = 1.0,
        *,
        top_k: int | None = None,
        top_p: float | None = None,
        uniform_BT: Tensor | None = None,
    ) -> Tensor:
        """Continue each prefix to the end of the sequence.

        Args:
            tokens_BT: prefixes, padded with V; one that has ended stays as it is.
            rng: where the randomness comes from; None is torch's global generator.
            temperature: the logits are divided by it.
            top_k: only the likeliest k tokens are drawn; None is all.
            top_p: only the likeliest tokens that together reach this probability are drawn; None is all.
            uniform_BT: where to invert the distribution of each token, from 0 to 1; None draws them from ``rng``.

        Returns:
            Complete sequences, shape ``(B, T)``.
        """
        check_sampling(temperature, top_k, top_p)  # also where no token is missing
        spec, tokens_BT = self.spec, tokens_BT.clone()
        if uniform_BT is None:
            dtype = self.output.weight.dtype
            uniform_BT = torch.rand(tokens_BT.shape, generator=rng, device=tokens_BT.device, dtype=dtype)

        def finish(rows: slice) -> None:
            """Write the rows' missing tokens."""
            rows_BT, rows_uniform_BT = tokens_BT[rows], uniform_BT[rows]
            length_B = spec.lengths(rows_BT)
            row_M = (~spec.is_complete(rows_BT)).nonzero().squeeze(1)
            length_M, state = length_B[row_M], self.read(rows_BT[row_M])
            while len(row_M):
                uniform_M1 = rows_uniform_BT[row_M, length_M, None]
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
                    state = self.step(token_M[keep], rows_of(state, keep))

        parts = row_parts(len(tokens_BT), float(spec.max_length * spec.vocab_size))
        parallel_map(finish, parts, tokens_BT.device)
        return tokens_BT

    def sample(
        self,
        n: int,
        rng: torch.Generator | None = None,
        temperature: float = 1.0,
        prefix: Any = (),
        *,
        top_k: int | None = None,
        top_p: float | None = None,
        uniform_BT: Tensor | None = None,
    ) -> Tensor:
        """Draw ``n`` complete sequences, ``(n, T)``, that begin with ``prefix``, a row of ids; see ``complete``."""
        tokens_BT = torch.full((n, self.spec.max_length), self.spec.pad_id, device=self.device)
        if len(prefix):
            tokens_BT[:, : len(prefix)] = torch.as_tensor(prefix, device=self.device)
        return self.complete(tokens_BT, rng, temperature, top_k=top_k, top_p=top_p, uniform_BT=uniform_BT)

    @check_arguments
    def draw(
        self,
        n: PositiveInt,
        *,
        seed: NonNegativeInt = 0,
        temperature: Temperature = 1.0,
        prefix: Any = (),
        top_k: PositiveInt | None = None,
        top_p: ShareAboveZero | None = None,
    ) -> Tokens:
        """Draw complete sequences by seed, in bounded memory, as an array.

        Args:
            n: how many, at least 1.
            seed: the same seed and model give the same sequences.
            temperature: above 0; the logits are divided by it.
            prefix: token ids that every sequence begins with.
            top_k: only the k likeliest tokens are drawn; None is all.
            top_p: only the likeliest tokens that together reach this probability are drawn; None is all.

        Returns:
            ``int64``, shape ``(n, T)``, padded with V.

        Raises:
            ValueError: a value is out of range, a weight is NaN, the prefix is no beginning, or memory is too small.
        """
        check_weights(self, "generator")
        check_memory(8 * n * self.spec.max_length, f"{n} sequences of max_length {self.spec.max_length}")
        start = mdp.initial(self.spec, 1, prefix)
        prefix_T = start.tokens_BT[0, : start.length_B[0]]
        rng = torch_rng(seed, "sample", device=self.device)
        sizes = [min(_SAMPLE_ROWS, n - i) for i in range(0, n, _SAMPLE_ROWS)]
        parts = [self.sample(size, rng, temperature, prefix_T, top_k=top_k, top_p=top_p) for size in sizes]
        return torch.cat(parts).cpu().numpy()
