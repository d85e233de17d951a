"""The interface of a discriminator: a network from complete sequences to the logit of their being real."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.checks import NoConfig, check_arguments, check_type, shown
from seqgan_env.device import may_look
from seqgan_env.discriminators.losses import Objective, discriminator_loss
from seqgan_env.discriminators.parts import evaluating, folded
from seqgan_env.parallel import parallel_map
from seqgan_env.tokens import SequenceSpec, Tokens
from seqgan_env.weights import Fingerprint, load_weights

_BATCH_TOKENS = {"cpu": 10 * 1024, "cuda": 160 * 1024}
"""About how many tokens are scored at once, by each thread: 512 sequences of the paper's length on a CPU."""


class Discriminator(nn.Module):
    """Base class of the discriminators ``D_phi``; ``sigmoid(logit_real)`` is ``D(Y)``, and real is label 1.

    A subclass implements ``forward(tokens_BT, rng=None) -> logit_real_B``, which in evaluation mode may be called from
    several threads at once, and must not change the module.

    Args:
        spec: the task's sequences.
        config: the settings, an instance of the class's own ``Config``; None is the defaults.

    Raises:
        ValueError: the settings do not fit the sequences.
    """

    Config: type[Any] = NoConfig
    """The settings of the class: a frozen dataclass, with defaults and checks."""
    follows_generator = False
    """Whether the logit contains the generator's likelihood; the settings then say ``generator_core`` and
    ``generator_kwargs``."""

    @check_arguments
    def __init__(self, spec: SequenceSpec, config: Any = None) -> None:
        super().__init__()
        self.spec = spec
        self.config = check_type("config", self.Config() if config is None else config, self.Config)
        self.check(spec, self.config)
        self._doubled: tuple[Fingerprint, Discriminator] | None = None  # of exact_logits: of what, and the copy

    @classmethod
    def check(cls, spec: SequenceSpec, config: Any) -> None:
        """Refuse settings that do not fit the sequences, without the time and memory of the constructor.

        A subclass with such settings overrides it.

        Args:
            spec: the task's sequences.
            config: an instance of ``Config``.

        Raises:
            ValueError: they do not fit.
        """

    def __getstate__(self) -> dict[str, Any]:
        """Without what can be made again."""
        return {**self.__dict__, "_doubled": None}

    def __call__(self, tokens_BT: Tensor, *more: Any, **named: Any) -> Any:
        """``forward`` of a copy of the tokens, which it may write to, as in ``tokens_BT[is_pad_BT] = 0``.

        Raises:
            ValueError: it gives anything but one floating-point number a sequence.
        """
        logit_real_B = super().__call__(tokens_BT.clone(), *more, **named)
        is_tensor, expected = isinstance(logit_real_B, Tensor), tuple(tokens_BT.shape[:1])
        if not is_tensor or logit_real_B.shape != expected or not logit_real_B.is_floating_point():
            got = f"{tuple(logit_real_B.shape)} of {logit_real_B.dtype}" if is_tensor else shown(logit_real_B)
            kind = type(self).__name__
            raise ValueError(f"forward of {kind} must give floating-point logits of shape {expected}, got {got}")
        return logit_real_B

    def forward(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Score a batch.

        Args:
            tokens_BT: complete sequences, ``int64``, padded with V.
            rng: where dropout takes its noise from in training mode; None is torch's global generator.

        Returns:
            ``logit_real_B``, the log-odds of being real, shape ``(B,)``.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement forward")

    def token_logits(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """The terms of a logit that is a sum over tokens, each a log-ratio given the tokens before, with gradient.

        Args:
            tokens_BT: sequences or prefixes, padded with V.
            rng: where dropout takes its noise from in training mode.

        Returns:
            ``logit_real_BT``, nats; 0 at padding.

        Raises:
            ValueError: the logit is no such sum.
        """
        raise ValueError(f"the logit of a {type(self).__name__} is no sum over tokens")

    def all_token_logits(self, tokens_BT: Tensor) -> Tensor:
        """The terms that every token might have in each place, of which ``token_logits`` gives those of the tokens.

        Args:
            tokens_BT: sequences or prefixes, padded with V.

        Returns:
            ``logit_real_BTV``, nats; 0 at padding.

        Raises:
            ValueError: the logit is no sum over tokens, or its terms are known for the tokens of a sequence alone.
        """
        self.token_logits(tokens_BT)  # which says so where it is no sum
        raise ValueError(f"the logit of a {type(self).__name__} has terms for the tokens of a sequence alone")

    def loss(
        self,
        real_BT: Tensor,
        generated_BT: Tensor,
        rng: torch.Generator | None = None,
        objective: Objective = discriminator_loss,
    ) -> Tensor:
        """The training loss without the penalty, a scalar: by default half the negative of eq. 13.32.

        A subclass with an objective of its own may leave the last argument out: training then takes no other loss.

        Args:
            real_BT: real sequences.
            generated_BT: generated ones.
            rng: where dropout takes its noise from.
            objective: the loss as a function of the logits.
        """
        logit_real_B = self(torch.cat([real_BT, generated_BT]), rng)
        return objective(logit_real_B[: len(real_BT)], logit_real_B[len(real_BT) :])

    @property
    def has_gradient_penalty(self) -> bool:
        """Whether ``gradient_penalty`` is there: whether tokens are read by their embeddings alone."""
        return False

    def gradient_penalty(self, real_BT: Tensor, generated_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """The penalty on the slope of the logit between real and generated embeddings, a scalar; see ``Embedded``.

        Raises:
            ValueError: there is none.
        """
        raise ValueError(f"a {type(self).__name__} does not read its tokens by their embeddings alone")

    def fit_real(self, real: Tokens, seed: int, on_part: Callable[[], None] = lambda: None) -> None:
        """Learn what takes real sequences alone; called before each round. Nothing, unless a subclass has such a part.

        What is learned is among the weights, and so is that it has been: a second call does only what is left.

        Args:
            real: real sequences, shape ``(n, T)``.
            seed: of what is random in it.
            on_part: called after each part that would not be done again.
        """

    def follow(self, generator: AutoregressiveModel | None) -> None:
        """Take up the generator as it is; called before each round. Nothing, unless the logit contains its likelihood.

        Args:
            generator: the model that draws the negatives; None where there are but sequences.

        Raises:
            ValueError: it is needed and not there, or of another form.
        """

    def penalty(self) -> Tensor:
        """The regularisation term that training adds to the loss; 0 unless a subclass has one."""
        return torch.zeros(())

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """``load_state_dict``, except that weights which don't fit change nothing.

        Raises:
            ValueError: a weight is missing, unknown, of another shape, or not finite.
        """
        load_weights(self, weights)

    def scorer(self, n: int) -> Callable[[Tensor], Tensor]:
        """A function that scores as ``forward`` does in evaluation mode, for as long as the weights stay as they are.

        Args:
            n: how many sequences it is to score; a subclass may prepare for many.
        """
        return folded(self)

    def logits(self, tokens_BT: Tokens | Tensor, batch_size: int | None = None) -> npt.NDArray[np.float64]:
        """Score any number of sequences in evaluation mode (no dropout), a bounded number at a time.

        Args:
            tokens_BT: complete sequences, padded with V.
            batch_size: how many sequences go through the network at once; None is what suits the device. The result
                differs at most by rounding.

        Returns:
            ``logit_real_B``, shape ``(B,)``.

        Raises:
            ValueError: ``batch_size`` is below 1.
        """
        return _array(self.tensor_logits(torch.as_tensor(tokens_BT, device=self.device), batch_size))

    @torch.no_grad()
    def tensor_logits(self, tokens_BT: Tensor, batch_size: int | None = None) -> Tensor:
        """``logits`` of sequences that are where the network is, and stay there; ``logit_real_B`` has its dtype."""
        if batch_size is None:
            n_tokens = _BATCH_TOKENS.get(tokens_BT.device.type, _BATCH_TOKENS["cuda"])
            batch_size = max(64, n_tokens // self.spec.max_length)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        score = self.scorer(len(tokens_BT))
        if self.spec.eos_id is None or len(tokens_BT) <= batch_size or not may_look(tokens_BT.device):
            return self._evaluate(score, tokens_BT, batch_size)
        # sequences of about the same length together, since a network may leave out what all of them lack
        order_B = self.spec.lengths(tokens_BT).argsort(stable=True)
        return self._evaluate(score, tokens_BT[order_B], batch_size)[order_B.argsort()]

    @torch.no_grad()
    def exact_logits(self, tokens_BT: Tokens | Tensor) -> npt.NDArray[np.float64]:
        """``logits`` computed in double precision, at about twice the cost.

        The last bits of a matrix product depend on its number of rows, so in single precision a sequence's logit
        depends a little, by 1e-7, on how many others are scored beside it. These agree to about 1e-14. Complete or
        unfinished sequences are both read as they are.

        A copy of the network in double precision is kept until the weights change, which is seen by torch's count of
        changes and, since fused optimisers outside of ``DiscriminatorTrainer`` and ``Tensor.data`` escape it, by a
        sample of every weight. The network itself is only read, so several threads may score with it.
        """
        tensors = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        if not tensors or self.device.type == "mps":  # which knows no double precision
            return self.logits(tokens_BT, 256)
        fingerprint = self.fingerprint()
        doubled = self._doubled  # another thread may put its own copy there meanwhile
        if doubled is None or doubled[0] != fingerprint:
            self._doubled = doubled = (fingerprint, folded(copy.deepcopy(self).double().eval()))
        return _array(doubled[1]._evaluate(doubled[1], torch.as_tensor(tokens_BT, device=self.device), 256))

    def fingerprint(self) -> Fingerprint:
        """The identity of the weights of the moment: unequal to that of others, and where there are none to any."""
        return Fingerprint({**dict(self.named_parameters()), **dict(self.named_buffers())})

    def row_logits(self, tokens_BT: Tokens | Tensor) -> npt.NDArray[np.float64]:
        """``logits`` as a step of an environment reads them: those of a sequence depend on that sequence alone.

        Here they are ``exact_logits``. A subclass that computes one row after the other, always by the same operations,
        may do so in single precision, which for one sequence takes a fraction of the time.

        Args:
            tokens_BT: complete sequences or prefixes, padded with V.

        Returns:
            ``logit_real_B``, shape ``(B,)``.
        """
        return self.exact_logits(tokens_BT)

    def prefix_logits(self, tokens_BT: Tokens | Tensor, *, exact: bool = True) -> npt.NDArray[np.float64]:
        """``row_logits`` of unfinished sequences, for shaping and for pictures.

        Args:
            tokens_BT: prefixes, padded with V.
            exact: False is enough for many, whose ``logits`` take less time; a subclass that has ``row_logits`` or this
                of its own answers both ways alike, up to rounding.
        """
        return self.row_logits(tokens_BT) if exact else self.logits(tokens_BT)

    def _evaluate(self, score: Callable[[Tensor], Tensor], tokens_BT: Tensor, batch_size: int) -> Tensor:
        with evaluating(self):
            parts = parallel_map(score, tokens_BT.split(batch_size), tokens_BT.device, "scoring")
        return torch.cat(parts) if parts else torch.zeros(0, device=tokens_BT.device)


def _array(logit_real_B: Tensor) -> npt.NDArray[np.float64]:
    return logit_real_B.cpu().double().numpy()
