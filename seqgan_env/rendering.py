"""Pictures of an episode for a person: its text, or the text with the discriminator's answer to each beginning of it.

In the picture each token has the colour of ``D`` for the text up to there, and a bar in the chart below, whose axis
explains the colours. The numbers are ``Scoring.beginning_logits``: one call of the discriminator for a picture.
"""

from __future__ import annotations

import functools
import re
import textwrap
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from seqgan_env.task import Task
from seqgan_env.tokens import Tokens

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]
Picture = npt.NDArray[np.uint8]
"""RGB, shape ``(HEIGHT, WIDTH, 3)``."""

COLUMNS = 80
"""Width of the text, in characters."""
WIDTH, HEIGHT = 800, 400
"""The size of every picture, in pixels: even, as video encoders ask."""

_MARGIN, _AXIS, _END = 24, 190, 776
"""From the left, in pixels: where the tokens begin, where the chart's bars begin, and where both end."""
_TEXT, _CHART = (54, 206), (250, 354)
"""From the top, in pixels: where the tokens and the chart begin and end."""
_SIZES = (32, 28, 24, 20, 17, 14, 12, 10, 8)
"""Of the tokens' letters, in pixels; the largest is taken with which the tokens fit."""
_COLOURS = np.array([[230, 126, 34], [236, 236, 236], [86, 160, 221]])
"""Of ``D`` = 0, 1/2 and 1. Every eye tells orange from blue, and black letters are read on all three."""
_BLACK, _GREY, _PALE = "#222222", "#666666", "#cccccc"
_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029]")
_PLAIN, _BOLD = (str(Path(mpl.get_data_path(), "fonts", "ttf", f"DejaVuSans{kind}.ttf")) for kind in ("", "-Bold"))


class Episode(NamedTuple):
    """An episode to show: the tokens so far, shape ``(T,)``, and the reward of the last step, None before the end."""

    task: Task
    tokens_T: Tokens
    reward: float | None

    def text(self) -> str:
        """The text so far (the ids, where tokens have no text) in lines of ``COLUMNS``; at the end what it was paid."""
        task, vocabulary = self.task, self.task.source.vocabulary
        written = " ".join(task.words(self.tokens_T)) if vocabulary is None else vocabulary.decode(self.tokens_T)
        head = f"[{task.spec.lengths(self.tokens_T)}/{task.spec.max_length}] "
        margin = " " * len(head)
        lines = textwrap.wrap(_visible(written), COLUMNS, initial_indent=head, subsequent_indent=margin)
        lines = lines or [head.rstrip()]
        if self.reward is not None:
            version = task.scoring.version
            lines.append(f"{margin}reward {self._reward_name} = {self.reward:.3f} (discriminator v{version})")
        return "\n".join(lines)

    def picture(self) -> Picture:
        """The tokens, each in the colour of ``D`` of the text up to there, over a chart of the same."""
        task, spec = self.task, self.task.spec
        d_T = self._probabilities()
        colours = [_colour(d) for d in d_T]
        image = Image.new("RGB", (WIDTH, HEIGHT), "white")
        draw = ImageDraw.Draw(image)
        title = _font(_BOLD, 17)
        draw.text((_MARGIN, 34), f"{len(d_T)} of {spec.max_length} tokens", _BLACK, title, anchor="ls")
        version = f"discriminator version {task.scoring.version}"
        draw.text((_END, 34), version, _GREY, _font(_PLAIN, 15), anchor="rs")
        _draw_tokens(draw, self._labels(), colours, self._typical_width, spec.max_length)
        _draw_scale(draw)
        (top, bottom), slot = _CHART, (_END - _AXIS) / spec.max_length
        for t in range(spec.max_length):
            middle = _AXIS + (t + 0.5) * slot
            left, right = middle - min(0.42 * slot, 24), middle + min(0.42 * slot, 24)
            half = (top + bottom) / 2
            draw.line((left, half, right, half), _PALE)
            if t < len(d_T) and np.isfinite(d_T[t]):
                ends = sorted((half, bottom + (top - bottom) * d_T[t]))
                draw.rectangle((left, ends[0] - 1, right, ends[1] + 1), colours[t])
        if self.reward is not None:
            words = f"The end: reward {self._reward_name} = {self.reward:.3f}"
            draw.text((_END, HEIGHT - 18), words, _BLACK, title, anchor="rs")
        return np.asarray(image, dtype=np.uint8)

    @property
    def _reward_name(self) -> str:
        shaped = "" if self.task.shaping is None else " with shaping"
        return self.task.scoring.entry.label + shaped

    @property
    def _typical_width(self) -> int:
        """The usual number of characters of a token, to leave room for those to come."""
        vocabulary = self.task.source.vocabulary
        if vocabulary is None:
            return len(str(self.task.spec.vocab_size))
        return 1 if vocabulary.level == "char" else 5

    def _labels(self) -> list[str]:
        """The tokens as they stand in their cells."""
        eos_id = self.task.spec.eos_id
        words = zip(self.tokens_T.tolist(), self.task.words(self.tokens_T), strict=False)
        return ["(end)" if token == eos_id else _visible(word, alone=True) for token, word in words]

    def _probabilities(self) -> Floats:
        """``D`` of each beginning of the text, shape ``(length,)``; NaN where the discriminator can't tell."""
        n = int(self.task.spec.lengths(self.tokens_T))
        if n == 0:
            return np.zeros(0)
        try:
            logit_real_T = self.task.scoring.beginning_logits(self.tokens_T)
        except ValueError:  # it may know complete sequences only, as the optimal one does
            return np.full(n, np.nan)
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logit_real_T)))  # the sigmoid, without overflow


class Window:
    """A window on the screen, which shows one picture after the other."""

    def __init__(self) -> None:
        self._figure: Figure | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy of an environment opens a window of its own."""
        return Window, ()

    def show(self, episode: Episode, fps: float) -> bool:
        """Show an episode for the time of one picture.

        Returns:
            Whether that is possible: it takes a screen and an interactive backend of matplotlib.
        """
        from matplotlib import pyplot as plt

        if self._figure is None or not plt.fignum_exists(self._figure.number):
            if (figure := _window_figure()) is None:
                return False
            figure.show()
            self._figure = figure
        self._figure.clear()
        self._figure.figimage(episode.picture())
        self._figure.canvas.draw_idle()
        self._figure.canvas.start_event_loop(1 / fps)
        return True

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._figure is not None:
            from matplotlib import pyplot as plt

            plt.close(self._figure)
            self._figure = None


def has_screen() -> bool:
    """Whether a window can be opened: it takes a screen and an interactive backend of matplotlib."""
    from matplotlib import pyplot as plt

    if (figure := _window_figure()) is None:
        return False
    plt.close(figure)
    return True


def _window_figure() -> Figure | None:
    """A figure in a window that is not shown yet; None where there can be none."""
    from matplotlib import pyplot as plt

    try:
        figure = plt.figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100)
    except Exception:  # each windowing system has exceptions of its own
        return None
    if figure.canvas.required_interactive_framework is None:
        plt.close(figure)
        return None
    return figure


def _draw_tokens(draw: ImageDraw.ImageDraw, labels: list[str], colours: list[str], typical: int, n_max: int) -> None:
    """Write the tokens in lines, each on its colour, in the largest letters with which all T are likely to fit."""
    (top, bottom), width = _TEXT, _END - _MARGIN
    for size in _SIZES:
        n_lines = int((bottom - top) / (1.75 * size))
        # the smallest letters always fit: as many columns as there must be, and nothing wider
        widest = 11.0 * size if size != _SIZES[-1] else min(11.0 * size, width / -(-n_max // n_lines))
        short = [_shortened(label, size, widest - size) for label in labels]
        widths = [min(font.getlength(label) + 0.8 * size, widest) for label, font in short]
        x, line, places = 0.0, 0, []
        later = min((0.6 * typical + 0.8) * size, widest)
        for w in widths + [later] * (n_max - len(labels)):
            if x + w > width + 0.01:  # sums of fractions are not exact
                x, line = 0.0, line + 1
            places.append((x, line))
            x += w
        if line < n_lines:
            break
    for (label, font), w, (x, line), colour in zip(short, widths, places, colours, strict=False):
        left, above = _MARGIN + x, top + 1.75 * size * line
        draw.rounded_rectangle((left, above, left + max(w - 0.15 * size, 0), above + 1.55 * size), 3, colour)
        draw.text((left + 0.325 * size, above + 1.15 * size), label, _BLACK, font, anchor="ls")


def _draw_scale(draw: ImageDraw.ImageDraw) -> None:
    """Explain the colours and the heights."""
    (top, bottom), font = _CHART, _font(_PLAIN, 14)
    title = "Does the text so far look real to the discriminator? Its answer D after each token:"
    draw.text((_MARGIN, top - 16), title, _BLACK, font, anchor="ls")
    for y in range(top, bottom + 1):
        draw.line((_AXIS - 24, y, _AXIS - 12, y), _colour((bottom - y) / (bottom - top)))
    for d, meaning in ((1.0, "1  real"), (0.5, "½  cannot tell"), (0.0, "0  generated")):
        draw.text((_AXIS - 32, bottom + d * (top - bottom)), meaning, _BLACK, font, anchor="rm")


def _shortened(label: str, size: int, room: float) -> tuple[str, ImageFont.FreeTypeFont]:
    """As much of a label as has room, with an ellipsis if that isn't all of it, and a font for it."""
    label = label[:80]
    font = _font(_face(label), size)
    if font.getlength(label) <= room:
        return label, font
    while label and font.getlength(label + "…") > room:
        label = label[:-1]
    return label and label + "…", font


def _visible(text: str, alone: bool = False) -> str:
    """The text without what a terminal would obey; alone in its cell, a blank or an accent becomes something to see."""
    if alone and len(text) == 1 and (text.isspace() or not text.isprintable()):
        return "␣" if text == " " else text.encode("unicode_escape").decode()
    text = _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
    return "◌" + text if alone and unicodedata.combining(text[:1] or " ") else text


def _colour(d: float) -> str:
    """The colour of a value of ``D``, as Pillow reads it; white for NaN."""
    if np.isnan(d):
        return "white"
    return "rgb({:.0f},{:.0f},{:.0f})".format(*(np.interp(d, [0, 0.5, 1], channel) for channel in _COLOURS.T))


@functools.lru_cache(maxsize=256)
def _font(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)


@functools.lru_cache(maxsize=4096)
def _face(label: str) -> str:
    """The file of a font that has every letter of a label; of the fonts here the plainest, if none has."""
    wanted = set(map(ord, label))
    if wanted <= _letters(_PLAIN):
        return _PLAIN
    from matplotlib.font_manager import fontManager

    # matplotlib brings a font of last resort, which draws the name of the script
    others = sorted(fontManager.ttflist, key=lambda f: ("LastResort" in f.fname, f.weight != 400, f.style != "normal"))
    return next((font.fname for font in others if wanted <= _letters(font.fname)), _PLAIN)


@functools.cache
def _letters(file: str) -> frozenset[int]:
    """The characters that a font has."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):  # it was taken away, or cannot be read
        return frozenset()
