"""Fingers and a stylus on a page, as a tablet's browser feels them: events of the browser itself, which may scroll."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

Place = tuple[float, float]
TABLET = {"viewport": {"width": 820, "height": 1180}, "has_touch": True, "is_mobile": True}


class Fingers:
    """The fingers of one hand; each has the number of its place in the list."""

    def __init__(self, page: Page) -> None:
        self.page, self.browser = page, page.context.new_cdp_session(page)

    def put(self, kind: str, *places: Place) -> None:
        """All fingers that are down, at once: "touchStart" where one more is, "touchMove", "touchEnd"."""
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        self.browser.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        # The browser gathers the moves of a frame into one: a frame later the page has had them.
        self.page.evaluate("new Promise((good) => requestAnimationFrame(() => requestAnimationFrame(() => good())))")

    def drag(self, *places: Place, steps: int = 5, up: bool = True) -> None:
        """One finger along a line."""
        self.put("touchStart", places[0])
        for place in _between(places, steps):
            self.put("touchMove", place)
        if up:
            self.put("touchEnd")

    def pinch(self, one: Sequence[Place], other: Sequence[Place], steps: int = 5) -> None:
        """Two fingers, one put down after the other, each from its first place to its last."""
        self.put("touchStart", one[0])
        self.put("touchStart", one[0], other[0])
        for places in zip(_between(one, steps), _between(other, steps), strict=True):
            self.put("touchMove", *places)
        self.put("touchEnd")

    def pen(self, kind: str, place: Place, **more: Any) -> None:
        """A stylus: "mousePressed", "mouseMoved", "mouseReleased" are what the browser calls it."""
        x, y = place
        self.browser.send("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1,
                                                       "clickCount": 1, "pointerType": "pen", **more})  # fmt: skip


def _between(places: Sequence[Place], steps: int) -> list[Place]:
    """Places along a line, each part of it in so many steps."""
    return [
        (x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps)
        for (x0, y0), (x1, y1) in zip(places, places[1:], strict=False) for step in range(1, steps + 1)
    ]  # fmt: skip
