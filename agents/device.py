"""What depends on where tensors are."""

from __future__ import annotations

import torch


def may_look(device: torch.device) -> bool:
    """Whether to look at a tensor's values costs nothing but the look.

    On a GPU the program would have to wait until all that it has asked for is done. There shapes must not depend on
    values: what has ended is computed on, and masked.
    """
    return device.type == "cpu"
