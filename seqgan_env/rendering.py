"""What an episode looks like to a person."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class View(NamedTuple):
    """What there is to show."""

    words: list[str]
    max_length: int
    reward: float | None
    discriminator_version: int


def text(view: View) -> str:
    """One line: the words, how many of T there are, and the reward once there is one."""
    reward = "" if view.reward is None else f"  reward {view.reward:.3f} (discriminator v{view.discriminator_version})"
    return f"[{len(view.words)}/{view.max_length}] {' '.join(view.words)}{reward}"


def picture(view: View) -> npt.NDArray[np.uint8]:
    """The same as an RGB picture, shape ``(height, width, 3)``."""
    import textwrap

    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (640, 240), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(18)
    draw.multiline_text((20, 20), textwrap.fill(" ".join(view.words), 60) or "…", fill="black", font=font, spacing=8)
    done = len(view.words) / view.max_length
    draw.rectangle((20, 190, 620, 198), fill="#dddddd")
    draw.rectangle((20, 190, 20 + int(600 * done), 198), fill="#4477aa")
    caption = f"{len(view.words)} of {view.max_length} tokens"
    if view.reward is not None:
        caption += f"     reward {view.reward:.3f}     discriminator version {view.discriminator_version}"
    draw.text((20, 205), caption, fill="#333333", font=font)
    return np.asarray(image, dtype=np.uint8)
