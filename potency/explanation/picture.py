"""A map as files: float32 pixels with what is known of them in the description, and a picture beside the image."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from potency import __version__
from potency.data.whole import replacing
from potency.evaluation.gallery import stretched
from potency.explanation.account import in_words

if TYPE_CHECKING:
    from potency.explanation.explain import Explained

SIDE = 320  # px of the picture's images, at least
STRONG = 99.5  # percentile of sizes that gets the full colour
GAMMA = 0.7  # so that what is weak is seen, too
LETTER, LINE = 16, 20  # px
GAP = 8  # px between image and map


def write_map(folder: Path, row: str, key: str, method: str, found: Explained) -> str:
    """Write `maps/<row>.tif` and `.png`; gives the path of the map, from `folder`."""
    import tifffile

    stem = re.sub(r"[^\w.-]+", "_", Path(row).with_suffix("").as_posix())[-60:]
    path = folder / "maps" / f"{stem}-{key[:8]}.tif"
    facts = {"potency": __version__, "method": method, "row": row, **found.cells}
    with replacing(path) as part:
        tifffile.imwrite(part, found.values, photometric="minisblack", compression="zlib", metadata=None,
                         description=json.dumps(facts, ensure_ascii=True))  # fmt: skip
    picture = drawn(found)
    with replacing(path.with_suffix(".png")) as part:
        picture.save(part, format="PNG")
    return path.relative_to(folder).as_posix()


def read_map(path: str | Path) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """The values (C, H, W) of a map and what is known of it."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        values = np.asarray(file.asarray(), np.float32)
        facts = json.loads(file.pages[0].description)  # type: ignore[union-attr]
    return values.reshape(-1, *values.shape[-2:]), dict(facts)


def face(cells: Any) -> list[str]:
    """What a map says on its face: what it is of, how much of the score reached the image, how it did in its tests."""
    lines = [f"{cells.get('label') or 'value'}   score {cells['score']:.2f}", *in_words(cells)]
    if "deletion" in cells:
        better = "better" if cells["deletion"] > 0 else "NO BETTER"
        lines.append(f"deletion {cells['deletion']:+.3f}: {better} than chance")
    return lines


def drawn(found: Explained) -> Any:
    """The image, and the map over it (red speaks for the answer, blue against), as one PIL image."""
    from PIL import Image, ImageDraw, ImageFont

    grey = stretched(np.nan_to_num(found.pixels.astype(np.float32)).mean(0))
    values = found.values.sum(0)
    size = _size(grey.shape)
    plain = Image.fromarray(np.repeat(grey[..., None], 3, 2)).resize(size, Image.Resampling.BICUBIC)
    over = Image.fromarray(coloured(grey, values)).resize(size, Image.Resampling.BICUBIC)
    lines, font = face(found.cells), ImageFont.load_default(LETTER)
    page = Image.new("RGB", (2 * size[0] + GAP, size[1] + LINE * len(lines) + GAP), "white")
    page.paste(plain, (0, 0))
    page.paste(over, (size[0] + GAP, 0))
    pen = ImageDraw.Draw(page)
    for i, line in enumerate(lines):
        pen.text((2, size[1] + 4 + LINE * i), line, fill="black", font=font)
    return page


def overlay(path: str | Path) -> Any:
    """The map over its image without a word, as one PIL image: cut from the picture beside the map that was written."""
    from PIL import Image

    wide, high = _size(read_map(path)[0].shape[1:])
    with Image.open(Path(path).with_suffix(".png")) as page:
        return page.crop((wide + GAP, 0, 2 * wide + GAP, high))


def graded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map (C, H, W) or (H, W) as one plane from -1 to 1: shares of what is strongest in it, channels added up.

    >>> graded(np.array([[[0.0, 2.0], [-4.0, 2.0]]], np.float32)).round(1).tolist()
    [[0.0, 0.5], [-1.0, 0.5]]
    """
    plane = np.asarray(values, np.float32).reshape(-1, *np.shape(values)[-2:]).sum(0)
    top = float(np.percentile(np.abs(plane), STRONG)) or 1.0
    return np.asarray(np.clip(plane / top, -1, 1), np.float32)


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Width and height of an image of this shape (Y, X) in a picture."""
    zoom = max(1, round(SIDE / max(shape)))
    return shape[1] * zoom, shape[0] * zoom


def coloured(grey: NDArray[np.uint8], values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A grey image (H, W) under a map (H, W), as (H, W, 3): red where it is positive, blue where negative."""
    strength = np.abs(graded(values))[..., None] ** GAMMA
    colour = np.where(values[..., None] >= 0, np.array([214, 39, 40]), np.array([31, 80, 200]))
    return np.asarray((1 - 0.75 * strength) * grey[..., None] + 0.75 * strength * colour, np.uint8)
