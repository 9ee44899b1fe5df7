"""The picture of one image explained by its features: the image, and a bar for what each brings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.data.whole import replacing
from potency.evaluation.gallery import stretched

if TYPE_CHECKING:
    from potency.explanation.contributions import Contributed

SHOWN = 8  # features; the rest is one bar
SIDE, LINE, NAMES, BARS = 200, 20, 250, 170  # px
FOR, AGAINST, INK, PALE = (214, 39, 40), (31, 80, 200), (20, 24, 28), (150, 150, 150)  # as in maps: red speaks for it


def write_bars(folder: Path, row: str, key: str, found: Contributed) -> str:
    """Write `bars/<row>.png`; gives its path from `folder`."""
    stem = re.sub(r"[^\w.-]+", "_", Path(row).with_suffix("").as_posix())[-60:]
    path = folder / "bars" / f"{stem}-{key[:8]}.png"
    with replacing(path) as part:
        drawn(found).save(part, format="PNG")
    return path.relative_to(folder).as_posix()


def strongest(found: Contributed) -> list[tuple[str, float, float]]:
    """(name, value, error) of the features that bring most, and one line for the rest together."""
    order = np.argsort(-np.abs(found.values), kind="stable")
    told = [(_name(found, k), float(found.values[k]), float(found.error[k])) for k in order[:SHOWN]]
    rest = order[SHOWN:]
    if len(rest):
        error = float(np.sqrt((found.error[rest] ** 2).sum()))
        told.append((f"{len(rest)} others", float(found.values[rest].sum()), error))
    return told


def _name(found: Contributed, place: int) -> str:
    measured = found.measured[place]
    return found.players[place] + (f" = {measured:.3g}" if np.isfinite(measured) else "")


def drawn(found: Contributed) -> Any:
    """The image beside its bars (red for the answer, blue against it), with what they add up to."""
    from PIL import Image, ImageDraw, ImageFont

    lines = strongest(found)
    grey = stretched(np.nan_to_num(found.pixels.astype(np.float32)).mean(0))
    zoom = SIDE / max(grey.shape)
    size = (max(1, round(grey.shape[1] * zoom)), max(1, round(grey.shape[0] * zoom)))
    plain = Image.fromarray(np.repeat(grey[..., None], 3, 2)).resize(size, Image.Resampling.BICUBIC)
    height = max(SIDE, LINE * (len(lines) + 2)) + 8
    page = Image.new("RGB", (SIDE + NAMES + BARS + 90, height), "white")
    page.paste(plain, (0, 0))
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    start, top = SIDE + 12, max([abs(value) + error for _, value, error in lines] + [1e-12])
    middle, reach = start + NAMES + BARS // 2, BARS // 2 - 4
    pen.text((start, 2), f"{found.label or 'value'} {found.score:.3f}, usual {found.base:.3f}", fill=INK, font=font)
    for k, (name, value, error) in enumerate(lines, 1):
        y = LINE * k + 4
        pen.text((start, y), name if len(name) <= 40 else name[:14] + "…" + name[-25:], fill=INK, font=font)
        end = middle + round(value / top * reach)
        pen.rectangle((min(middle, end), y + 2, max(middle, end), y + 12), fill=FOR if value > 0 else AGAINST)
        if error > 0:
            low, high = (middle + round((value + side * error) / top * reach) for side in (-1, 1))
            pen.line((low, y + 7, high, y + 7), fill=INK)
        pen.text((start + NAMES + BARS + 4, y), f"{value:+.3f}", fill=INK, font=font)
    pen.line((middle, LINE, middle, LINE * (len(lines) + 1)), fill=PALE)
    return page
