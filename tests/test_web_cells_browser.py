"""The viewer and the journey of cells in a real browser: drop a field, see every cell, take the tables home."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from browser import looked_at, page_of, serving
from cell_fields import PLACES, field, png, stack
from playwright.sync_api import Browser, Page, expect


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("web")) as address:
        yield address


def pointed_at(page: Page, y: float, x: float) -> None:
    """Move the pointer to a place in the image, in shares of the picture as it lies in the stage when all is shown."""
    box = page.locator(".stage").bounding_box()
    assert box is not None
    shape = 128, 160
    scale = min(box["height"] / shape[0], box["width"] / shape[1])
    left, top = (box["x"] + (box["width"] - scale * shape[1]) / 2, box["y"] + (box["height"] - scale * shape[0]) / 2)
    page.mouse.move(left + x * scale, top + y * scale)


def drawn(page: Page) -> int:
    """How bright the picture on the stage is, on the average, in thousandths."""
    read = """() => { const of = document.querySelector(".stage canvas");
      const whole = of.getContext("2d").getImageData(0, 0, of.width, of.height).data;
      let sum = 0;
      for (let k = 0; k < whole.length; k += 4) sum += whole[k + 1];
      return 4000 * sum / whole.length; }"""
    return int(page.evaluate(read))


def until(page: Page, met: Callable[[], bool], what: str) -> None:
    for _ in range(300):
        if met():
            return
        page.wait_for_timeout(100)
    pytest.fail(what)


def test_a_field_is_dropped_and_every_cell_is_seen_and_listed(tool: str, browser: Browser, tmp_path: Path) -> None:
    long = "a field with a name that is longer than anybody would want to read on a page.png"
    (tmp_path / long).write_bytes(png(field()))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    with page_of(browser) as page:
        page.goto(tool + "cells")
        looked_at(page, "cells")
        page.set_input_files("input[name=files]", sorted(map(str, tmp_path.iterdir())))
        page.dblclick("text=Find the cells")
        page.wait_for_url(re.compile("/(jobs|cells)/"))
        page.close()  # in the middle: the job goes on without its page
    with page_of(browser) as page:
        page.goto(tool)
        expect(page.locator("tbody tr")).to_have_count(1)
        expect(page.locator("tbody tr")).to_contain_text("Find cells")
        expect(page.locator("tbody tr a .cut")).to_have_attribute("title", re.compile("^a field.*png and 1 more$"))
        page.click("tbody tr a")
        page.wait_for_selector(".viewer .panel h3")
        expect(page.locator(".count")).to_contain_text(f"{len(PLACES)} cells in 1 image")
        page.wait_for_selector("table.objects tbody tr")
        assert page.locator("table.objects tbody tr").count() == len(PLACES)
        expect(page.locator(".scale span")).to_have_text(re.compile(r"\d+ px"))
        pointed_at(page, *PLACES[0])
        page.wait_for_selector(".said dl")
        assert "diameter" in page.inner_text(".said") and "Cell" in page.inner_text(".said")
        looked_at(page, "cells-found")
        page.click("table.objects th >> text=area")
        page.wait_for_selector("table.objects th[aria-sort=descending]")
        page.locator("table.objects tbody a").first.click()
        expect(page.locator("table.objects tbody a").first).to_have_attribute("aria-current", "true")
        with page.expect_download() as taken:
            page.click("text=ImageJ and Fiji")
        assert taken.value.suggested_filename == "imagej.zip"
        page.reload()
        page.wait_for_selector(".viewer .panel h3")
        page.goto(tool + "jobs")
        assert page.locator("tbody tr").count() == 1, "a double click asks once"


def measured(page: Page) -> None:
    """A distance by two clicks: as many pixels of the file as there are between them on the screen, and micrometres."""
    page.locator(".openseadragon-canvas").focus()
    page.keyboard.press("m")
    expect(page.get_by_role("button", name="Ruler")).to_have_attribute("aria-pressed", "true")
    box = page.locator(".openseadragon-canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.click(x - 60, y)
    page.mouse.click(x + 60, y)
    expect(page.locator(".status")).to_contain_text("µm (")
    um, px = (float(text) for text in re.findall(r"([\d.]+) (?:µm|px)", page.inner_text(".status")))
    assert um == pytest.approx(0.5 * px, rel=0.02) and page.locator(".ruler").get_attribute("points").count(",") == 2
    page.keyboard.press("Escape")
    expect(page.locator(".status")).to_have_text("")
    expect(page.get_by_role("button", name="Ruler")).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_viewer_obeys_mouse_and_keys(tool: str, browser: Browser, scheme: str) -> None:
    taken = httpx.post(tool + "images.json", files=[("files", ("stack.ome.tif", stack()))], timeout=60).json()
    with page_of(browser, color_scheme=scheme) as page:
        page.goto(f"{tool}images/{taken['set']}")
        page.click(".wall a.frame")
        page.wait_for_selector(".viewer .panel h3")
        expect(page.locator(".panel output").first).to_have_text("2 of 3")
        expect(page.locator(".panel output").nth(1)).to_have_text("2 of 2, 20 min")
        expect(page.locator(".scale span")).to_have_text(re.compile(r"\d+ µm"))
        until(page, lambda: drawn(page) > 0, "the image is never drawn")
        page.locator(".openseadragon-canvas").focus()
        page.keyboard.press("]")
        expect(page.locator(".panel output").first).to_have_text("3 of 3")
        expect(page.get_by_role("slider", name="Plane")).to_have_attribute("aria-valuetext", "3 of 3")
        page.keyboard.press("]")
        expect(page.locator(".panel output").first).to_have_text("3 of 3")
        until(page, lambda: page.locator(".status").inner_text() == "", "the image stays on its way")
        late = drawn(page)
        page.keyboard.press(",")
        expect(page.locator(".panel output").nth(1)).to_have_text("1 of 2")
        until(page, lambda: drawn(page) < 0.95 * late, "another time looks the same")
        pointed_at(page, 100, 20)
        expect(page.locator(".said")).to_contain_text("DAPI")
        expect(page.locator(".said")).to_contain_text("GFP 10")
        measured(page)
        looked_at(page, f"viewer-{scheme}")
        both = drawn(page)
        page.uncheck(".channel input[type=checkbox] >> nth=0")
        until(page, lambda: drawn(page) < 0.95 * both, "of two channels both stay")
        before = drawn(page)
        page.uncheck(".channel input[type=checkbox] >> nth=1")
        until(page, lambda: drawn(page) < before, "a channel that is switched off stays")
        page.click("text=Reset channels")
        until(page, lambda: drawn(page) >= before, "the channels do not come back")
        page.set_viewport_size({"width": 768, "height": 1024})
        looked_at(page, f"viewer-tablet-{scheme}")
