"""A step of gradient descent, and the numbers that must be finite before it is taken."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from seqgan_env.device import may_look


def gradient_step(
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    max_grad_norm: float,
    of: str,
    *,
    also: Mapping[str, Tensor] | None = None,
    waits: bool = False,
) -> Tensor:
    """Take one step down the gradient of a loss, if all its numbers are finite.

    Args:
        optimizer: of the weights.
        loss: a scalar with gradient.
        max_grad_norm: the gradient is scaled down to this norm.
        of: the network, for an error, such as ``"generator"``.
        also: further numbers that must be finite, by name.
        waits: check where that means to wait for a GPU too; otherwise its caller does so when it reads the losses, with
            ``mean_loss``.

    Returns:
        The gradient's norm before it was scaled down, a scalar on the loss's device.

    Raises:
        ValueError: the step size, the loss, the gradient or one of ``also`` is not finite; no weight has changed.
    """
    for group in optimizer.param_groups:
        check_step_size(group["lr"])
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None])
    if waits or may_look(loss.device):
        numbers = {**(also or {}), f"the loss of the {of}": loss.detach(), f"the gradient of the {of}": norm}
        if not torch.stack([each.isfinite().all() for each in numbers.values()]).all():
            optimizer.zero_grad(set_to_none=True)
            name = next(name for name, each in numbers.items() if not each.isfinite().all())
            raise ValueError(f"{name} must be finite, got {float(numbers[name][~numbers[name].isfinite()][0])}")
    if not may_look(loss.device) or norm > max_grad_norm:  # to scale by 1 is a pass over all of them
        torch.nn.utils.clip_grads_with_norm_(parameters, max_grad_norm, norm)
    optimizer.step()
    for parameter in parameters:  # by which caches see that it has changed; a fused optimiser leaves that out
        torch.autograd.graph.increment_version(parameter)
    return norm


def mean_loss(losses: list[Tensor], of: str) -> float:
    """The mean of some losses, in double precision.

    Args:
        losses: scalars.
        of: the network, for an error.

    Raises:
        ValueError: it is not finite.
    """
    mean = float(torch.stack(losses).double().mean())
    if not math.isfinite(mean):
        raise ValueError(f"the loss of the {of} must be finite, got {mean}")
    return mean


def check_step_size(value: float) -> None:
    """Refuse a step size, of a schedule too, that is no finite number of at least 0.

    Raises:
        ValueError: it is none.
    """
    if not 0 <= value < math.inf:
        raise ValueError(f"a step size must be a finite number of at least 0, got {value}")


def check_weights(module: nn.Module, of: str) -> None:
    """Refuse a network with weights that are not finite; on a GPU this waits for it.

    Raises:
        ValueError: it has one.
    """
    largest = torch.nn.utils.get_total_norm(module.parameters(), norm_type=math.inf)
    if not largest.isfinite():
        raise ValueError(f"the weights of the {of} must be finite, got {float(largest)} among them")
