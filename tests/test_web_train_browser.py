"""The journeys "train" and "plate" in a real browser: a folder becomes a model, a plate a map, by clicks and keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import looked_at, page_of, serving
from PIL import Image
from playwright.sync_api import Browser, expect


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("web")) as address:
        yield address


def picture(path: Path, seed: int, level: int, side: int = 24) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(20, 60, (side, side))
    pixels[6:18, 6:18] += level
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def test_a_folder_becomes_a_model_that_is_used(tool: str, browser: Browser, tmp_path: Path) -> None:
    for kind, level in (("bright", 120), ("dim, as a long name of a class that goes on and on", 30)):
        for donor in range(1, 6):
            for k in range(2):
                picture(tmp_path / "cells" / kind / f"donor{donor}_{k}.png", 10 * donor + k + level, level)
    with page_of(browser, color_scheme="dark") as page:
        page.goto(tool + "train")
        looked_at(page, "train-empty")
        page.set_input_files("input[data-folder]", tmp_path / "cells")
        page.dblclick("text=Check them")
        page.wait_for_selector(".verdict")
        looked_at(page, "train-check")
        page.click("text=Go on: train")
        page.click("summary:has-text('More')")
        page.fill("#steps", "8")
        page.fill("#folds", "2")
        looked_at(page, "train-settings")
        page.dblclick("text=Start training")
        page.wait_for_selector(".chart polyline", state="attached")
        looked_at(page, "train-live")
        page.wait_for_selector("text=Figures, on groups it had not seen")
        looked_at(page, "train-report")
        page.click("summary:has-text('The report, here')")
        expect(page.frame_locator("iframe.report").locator("h1").first).to_be_visible()
        page.fill("#title", "Bright or dim")
        page.click("text=Call it so")
        expect(page.locator("h1")).to_have_text("Bright or dim")
        page.goto(tool + "train")
        assert page.locator("tbody tr").count() == 2, "a double click asks once"


def test_a_plate_is_a_map_by_pointer_and_by_keys(tool: str, browser: Browser, tmp_path: Path) -> None:
    for column in range(1, 13):
        for row in "ABCH":
            if (row, column) != ("B", 2):
                level = 200 if (row, column) == ("C", 5) else 60
                picture(tmp_path / "P1" / f"P1_{row}{column:02d}_s1.png", column, level)
    with page_of(browser) as page:
        page.goto(tool + "plate")
        looked_at(page, "plate-empty")
        page.set_input_files("input[data-folder]", tmp_path / "P1")
        page.dblclick("text=Make the map")
        page.wait_for_url("**/jobs/*")
        here = page.url
        page.close()  # in the middle: the job goes on without its page
    with page_of(browser) as page:
        page.goto(tool + "plate")
        expect(page.locator("tbody tr")).to_have_count(1)
        page.goto(here)
        page.click("text=Open the map")
        page.wait_for_load_state()
        for measure in ("Contrast", "Mean brightness"):
            page.select_option("#measure", label=measure)
            expect(page.locator("#readout")).to_contain_text(measure)
        page.wait_for_url("**brightness*")
        assert page.locator(".map a").count() == 47 and page.locator(".map .gap").count() == 49
        page.locator(".map a").first.focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowRight")  # over B02, which has no image
        expect(page.locator("#readout")).to_contain_text("B03:")
        assert page.locator(".map a[tabindex='0']").count() == 1
        page.hover(".map a[aria-label^='C05']")
        expect(page.locator("#readout")).to_contain_text("unusual")
        looked_at(page, "plate-map")
        page.click(".map a[aria-label^='C05']")
        expect(page.locator("h1")).to_contain_text("C05")
        assert page.locator(".views img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 24
        looked_at(page, "plate-well")
        page.click("text=C06 →")
        page.go_back()
        page.go_back()
        expect(page.locator("#measure")).to_have_value("quality.brightness")
    with page_of(browser, color_scheme="dark") as page:
        page.set_viewport_size({"width": 768, "height": 1000})
        page.goto(tool + "plate")
        page.click("table >> a")
        page.click("text=Open the map")
        looked_at(page, "plate-map-dark-tablet")
