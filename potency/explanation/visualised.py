"""The page of `visualise`: the pictures of each goal beside the best real image, and what they are not."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from potency.data.whole import replaced
from potency.evaluation.gallery import stretched
from potency.evaluation.paper import printed
from potency.evaluation.wording import clean
from potency.explanation.ascent import Ascent
from potency.explanation.page import learned_from

if TYPE_CHECKING:
    from potency.bundle import Bundle
    from potency.explanation.visualise import Picture, Shown

SIDE = 192  # px of a picture on the page


def write_page(found: Sequence[Shown], bundle: Bundle, folder: Path, ascent: Ascent, start: str) -> Path:
    """Write `visualised.html`."""
    title = str(bundle.card.data.get("title", ""))
    pictures = sum(len(shown.pictures) for shown in found)
    text = printed(
        "explanation/visualised.html", title="What the model answers to", banners=learned_from(bundle),
        subtitle=" · ".join([bundle.card.plan.network, f"{pictures} pictures", *([title] if title else [])]),
        verdict=verdict(found), how=_how(ascent, start), goals=[_goal(shown) for shown in found],
    )  # fmt: skip
    path = folder / "visualised.html"
    replaced(path, text.encode())
    return path


def verdict(found: Sequence[Shown]) -> str:
    """How many pictures score above every real image, and whether a second model sees the class in them."""
    pictures = [(shown, picture) for shown in found for picture in shown.pictures]
    said, real = [], found[0].compared if found else 0
    if real:
        above = sum(picture.score > shown.best for shown, picture in pictures)
        said.append(f"{above} of {len(pictures)} pictures score higher than the best of {real} real images.")
        if not above:
            said.append("The network holds no pattern that lasts under small shifts and turns.")
    judged = [(shown, picture) for shown, picture in pictures if picture.other and shown.goal.label]
    if judged:
        same = sum(picture.other == shown.goal.label for shown, picture in judged)
        said.append(f"An independent model sees the class in {same} of {len(judged)}: what it does not see is this "
                    "network's own habit.")  # fmt: skip
    elif any(shown.goal.label for shown in found):
        said.append("No second model was asked: --other tells the class from what is this network's habit.")
    return " ".join(said)


def _how(ascent: Ascent, start: str) -> str:
    over = "their mean image" if start == "mean" else "the mean level of the images"
    return (
        f"Adam, {ascent.steps} steps of {ascent.rate:g} on the spectrum of the image (frequencies weighed by 1/f^"
        f"{ascent.decay:g}), from noise over {over}; in every step shifted by up to {100 * ascent.shift:.0f} % of a "
        f"side, turned by up to {ascent.turn:.0f} degrees, resized by up to {100 * ascent.zoom:.0f} %; total variation "
        f"{ascent.variation:g}, distance from the start {ascent.energy:g}, gradients clipped at {ascent.clip:g}"
        f"{f', blurred by {ascent.blur:g} px in every fourth step' if ascent.blur else ''}. Erhan 2009; Yosinski 2015; "
        "Olah 2017."
    )


def _goal(shown: Shown) -> dict[str, Any]:
    cards = [_card(shown, picture) for picture in shown.pictures]
    said = "No real images were given to compare with."
    if shown.compared:
        said = f"Of {shown.compared} real images the best reaches {shown.best:.2f}, one in 20 over {shown.high:.2f}."
        if shown.best_pixels is not None:
            cards.append({"picture": seen(shown.best_pixels), "title": "best real image", "real": True,
                          "lines": [_line(f"score {shown.best:.2f}"), _line(clean(shown.best_image, 40))]})  # fmt: skip
    return {"name": shown.goal.name, "said": said, "cards": cards}


def _card(shown: Shown, picture: Picture) -> dict[str, Any]:
    label = shown.goal.label
    below = np.isfinite(shown.best) and picture.score <= shown.best
    lines = [_line(f"score {picture.score:.2f}" + (": no higher than a real image" if below else ""), below)]
    if np.isfinite(picture.probability):
        lines.append(_line(f"taken for {picture.answer}, {label} {picture.probability:.2f}", picture.answer != label))
    else:
        lines.append(_line(f"answer {picture.answer}"))
    if picture.other:
        sure = f", {label} {picture.agreed:.2f}" if np.isfinite(picture.agreed) else ""
        lines.append(_line(f"second model: {picture.other}{sure}", bool(label) and picture.other != label))
    return {"picture": seen(picture.pixels), "title": f"picture {picture.seed + 1}", "real": False, "lines": lines}


def _line(text: str, bad: bool = False) -> dict[str, Any]:
    return {"text": text, "bad": bool(bad)}


def seen(pixels: NDArray[Any]) -> str:
    """Pixels (C, H, W) as a data URI: three channels as colour, of others the mean."""
    from PIL import Image

    values = np.nan_to_num(pixels.astype(np.float32))
    planes = [stretched(plane) for plane in values] if len(values) == 3 else [stretched(values.mean(0))] * 3
    high, wide = values.shape[1:]
    zoom = SIDE / max(high, wide)
    made = Image.fromarray(np.stack(planes, 2)).resize((max(1, round(wide * zoom)), max(1, round(high * zoom))),
                                                       Image.Resampling.BICUBIC)  # fmt: skip
    written = io.BytesIO()
    made.save(written, format="JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode("ascii")
