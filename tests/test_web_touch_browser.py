"""The viewer and the editor of masks on a tablet: fingers pan, zoom, paint and erase, the page stays."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from browser import looked_at, page_of, serving
from cell_fields import field, png, stack
from fingers import TABLET, Fingers, Place
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect
from test_web import until
from test_web_correct import CELLS, discs, seen
from test_web_correct import png as drawn

WHERE = """async () => { const { view } = (await import('/static/correct.js')).now();
    return [view.x, view.y, view.scale]; }"""
SHOWN = "async () => Array.from((await import('/static/correct.js')).now().view.mask.labels)"


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("web")) as address:
        yield address


class Mask:
    """The editor of a mask of discs on a tablet, and what the server has of it."""

    def __init__(self, page: Page, tool: str) -> None:
        labels = discs(*CELLS)
        files = [("files", ("a.png", seen(labels))), ("files", ("a_mask.png", drawn(labels.astype(np.uint8))))]
        with httpx.Client(base_url=tool, timeout=60) as client:
            made = client.post("/correct.json", files=files, data={"source": "masks"}).json()
            until(lambda: client.get(f"/jobs/{made['job']}.json").json()["job"]["state"] == "done")
            (item,) = client.get(f"/correct/{made['correction']}.json").json()["items"]
        self.page, self.address = page, f"{tool}correct/{made['correction']}/{item['id']}"
        page.goto(self.address)
        page.wait_for_selector(".editor[data-ready]")
        page.locator("[data-stage]").scroll_into_view_if_needed()

    def labels(self) -> NDArray[np.uint32]:
        self.page.wait_for_selector(".editor[data-state=saved]")
        self.page.wait_for_selector("[data-saved]:text-is('All changes saved')")
        kept = np.frombuffer(httpx.get(self.address + "/mask").content, "<u4").reshape(64, 64)
        assert (np.array(self.page.evaluate(SHOWN)).reshape(64, 64) == kept).all(), "what is seen is what is kept"
        return kept

    def at(self, x: float, y: float) -> Place:
        """Where a place of the image is on the page."""
        left, top, scale = self.page.evaluate(WHERE)
        box = self.page.locator("[data-stage]").bounding_box()
        assert box
        return box["x"] + left + x * scale, box["y"] + top + y * scale

    def under(self, x: float, y: float) -> Place:
        """The place of the image that is at one of the page."""
        (left, top), scale = self.at(0, 0), self.page.evaluate(WHERE)[2]
        return (x - left) / scale, (y - top) / scale


def test_fingers_paint_erase_and_zoom_but_never_scroll_the_page(tool: str, browser: Browser) -> None:
    with page_of(browser, **TABLET) as page:
        mask, fingers = Mask(page, tool), Fingers(page)
        scrolled = page.evaluate("scrollY")
        first = mask.labels()
        page.click("[data-tool=draw]")
        fingers.drag(mask.at(16, 16), mask.at(16, 36))
        painted = mask.labels()
        assert painted[34, 16] == 1 and (painted[first > 0] == first[first > 0]).all()
        page.click("[data-tool=erase]")
        fingers.drag(mask.at(46, 20), mask.at(46, 10))
        erased = mask.labels()
        assert (erased != painted).any() and (erased[painted == 1] == 1).all() and erased[18, 46] == 0
        assert page.evaluate("scrollY") == scrolled, "the page stays where it is while a brush is down"
        page.click("[data-tool=draw]")
        before, (x, y) = page.evaluate(WHERE), mask.at(32, 32)
        fingers.pinch([(x - 20, y), (x - 120, y)], [(x + 20, y), (x + 120, y)])
        until(lambda: page.evaluate(WHERE)[2] > 3 * before[2], 30)  # two fingers zoom ...
        until(lambda: np.hypot(*np.subtract(mask.at(32, 32), (x, y))) < 8, 30)  # ... about the place between them
        assert (mask.labels() == erased).all(), "and paint nothing, though one came first"
        before, between = page.evaluate(WHERE)[2], mask.under(x, y)
        fingers.pinch([(x - 60, y), (x - 60, y + 90)], [(x + 60, y), (x + 60, y + 90)])
        until(lambda: np.hypot(*np.subtract(mask.at(*between), (x, y + 90))) < 6, 30)  # side by side they take it along
        assert abs(page.evaluate(WHERE)[2] / before - 1) < 0.05
        page.click("[data-does=fit]")
        page.click("[data-tool=merge]")
        (x, y) = mask.at(16, 16)
        fingers.pinch([(x, y), (x - 20, y)], [mask.at(46, 30), mask.at(50, 30)])
        assert (mask.labels() == erased).all(), "a pinch merges nothing"
        assert page.evaluate("scrollY") == scrolled
        page.click("[data-does=fit]")
        looked_at(page, "touch-editor")


def test_a_hand_may_rest_beside_the_stylus_and_a_stroke_survives_a_second_finger(tool: str, browser: Browser) -> None:
    with page_of(browser, **TABLET) as page:
        mask, fingers = Mask(page, tool), Fingers(page)
        first = mask.labels()
        page.click("[data-tool=draw]")
        fingers.pen("mousePressed", mask.at(16, 16))
        fingers.put("touchStart", mask.at(55, 60))  # the hand
        for y in range(17, 40, 3):
            fingers.pen("mouseMoved", mask.at(16, y))
        fingers.pen("mouseReleased", mask.at(16, 38))
        fingers.put("touchEnd")
        drawn = mask.labels()
        assert drawn[36, 16] == 1 and not drawn[55:, 50:].any(), "the stylus paints, the hand beside it does not"
        fingers.drag(mask.at(46, 18), mask.at(56, 50), up=False)
        fingers.put("touchStart", mask.at(56, 50), mask.at(20, 60))
        fingers.put("touchEnd")
        both = mask.labels()
        assert both[48, 55] == 2 and (both[drawn > 0] == drawn[drawn > 0]).all()
        for _ in range(2):
            page.click("[data-does=undo]")
            page.wait_for_timeout(200)
        until(lambda: bool((mask.labels() == first).all()))


def test_fingers_move_and_zoom_the_viewer_and_a_tap_tells_values(tool: str, browser: Browser) -> None:
    files = [("files", ("stack.ome.tif", stack())), ("files", ("plain.png", png(field())))]
    taken = httpx.post(tool + "images.json", files=files, timeout=60).json()
    with page_of(browser, **TABLET) as page:
        page.goto(f"{tool}images/{taken['set']}")
        page.tap(".wall a.frame >> nth=0")
        page.wait_for_selector(".viewer .panel h3")
        fingers, box = Fingers(page), page.locator(".stage").bounding_box()
        assert box
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.touchscreen.tap(x, y)
        expect(page.locator(".said")).to_contain_text("DAPI")
        page.wait_for_timeout(500)
        expect(page.locator(".said")).to_contain_text("DAPI")  # it can be read once the finger is away
        wide = page.inner_text(".scale span")
        fingers.pinch([(x - 20, y), (x - 160, y)], [(x + 20, y), (x + 160, y)])
        until(lambda: page.inner_text(".scale span") != wide)
        scrolled = page.evaluate("scrollY")
        fingers.drag((x, y), (x, y - 200), (x, y + 100))
        assert page.evaluate("scrollY") == scrolled, "a finger on the image moves the image, not the page"
        looked_at(page, "touch-viewer")
