"""Lays the controls out as one self-contained page, in the style of the report."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.evaluation import wording
from potency.evaluation.gallery import stretched
from potency.evaluation.paper import printed

if TYPE_CHECKING:
    from potency.reliance.result import Controls

SIDE = 128  # px of an example, at least
NOT_THERE = "These rows have no groups of their own: intervals assume independent images."


def page(found: Controls) -> str:
    """The whole page as text: what it means first, then pictures, examples and tables."""
    from potency.reliance.pictures import draw_all

    facts = found.facts
    size = [wording.count(int(facts[name]), noun) for name, noun in (("rows", "image"), ("groups", "group"))]
    banners = [facts["warning"]] if facts["warning"] else []
    banners += [] if facts["groups_known"] else [NOT_THERE]
    first, *rest = found.verdict or ["Nothing could be said."]
    return printed(
        "reliance/controls.html", title="Controls", simulated=facts["simulated"], banners=banners,
        subtitle=" · ".join([*size, f"{facts['draws']:,} draws of whole groups"]), verdict=first,
        lines=[*rest, *_asides(found)], plots=draw_all(found), tables=found.tables(),
        examples=[(title, _picture(pixels)) for title, pixels in found.examples],
    )  # fmt: skip


def _asides(found: Controls) -> list[str]:
    facts, said = found.facts, []
    if facts["how"]:
        said.append(facts["how"])
    if facts["level"] != "none":
        own = "mean" if facts["level"] == "mean" else "mean and deviation"
        said.append(f"The model's plan takes each crop's own {own} out (level = {facts['level']}).")
    if facts["left"]:
        said.append(f"{wording.count(facts['left'], 'row')} were left out: no model may be asked for them.")
    if facts["unread"]:
        said.append(f"{wording.count(facts['unread'], 'image')} could not be read.")
    if facts["untested"]:
        said.append(f"Plain numbers could not be tested: {facts['untested']}.")
    if not facts["pixel_size"]:
        said.append("The pixel size is unknown, so frequencies are in cycles per pixel.")
    return said


def _picture(pixels: Any) -> str:
    """An image (C, H, W) as a data URL, its channels' mean stretched."""
    from PIL import Image

    grey = Image.fromarray(stretched(np.asarray(pixels, np.float32).mean(0)))
    zoom = max(1, round(SIDE / max(grey.size)))
    grey = grey.resize((grey.width * zoom, grey.height * zoom), Image.Resampling.NEAREST)
    grey.thumbnail((2 * SIDE, 2 * SIDE))
    written = io.BytesIO()
    grey.save(written, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode()
