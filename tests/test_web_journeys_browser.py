"""What people do to pages: buttons twice, back, reload, a tab closed in the middle; nothing is lost or done twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bad_metadata import zarred
from browser import looked_at, page_of, serving
from PIL import Image
from playwright.sync_api import Browser, expect


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("web")) as address:
        yield address


def picture(path: Path, seed: int, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(20, 60, (24, 24))
    pixels[6:18, 6:18] += level
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def test_a_question_asked_twice_left_and_come_back_to(tool: str, browser: Browser) -> None:
    with page_of(browser) as page:
        page.goto(tool + "images")
        page.dblclick("#act-images-examples-media")
        page.wait_for_selector(".wall img")
        page.goto(tool + "images")
        expect(page.locator("tbody tr")).to_have_count(1)
        page.goto(tool + "answer?model=example:pluripotent")
        with page.expect_response("**/answer.json?set=*"):
            page.select_option("#set", index=1)
        page.wait_for_load_state("networkidle")
        assert page.is_checked("input[value='example:pluripotent']"), "a link to a model has chosen it"
        page.check("input[value='example:medium']")
        page.click("summary:has-text('Maps:')")
        page.select_option("#maps", value="0")
        page.dblclick("text=Get the answer")
        page.wait_for_url("**/answer/*")
        here = page.url
        page.reload()
        page.close()  # in the middle: the job goes on without its page
    with page_of(browser) as page:
        page.goto(here)
        page.wait_for_selector(".answer")
        page.go_back()
        page.goto(tool + "jobs")
        expect(page.locator("tbody tr")).to_have_count(1)
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(here.replace("/answer/", "/jobs/"))
        page.dblclick("text=Delete")
        page.wait_for_url("**/jobs")
        expect(page.locator("text=No jobs yet")).to_be_visible()


def test_a_folder_dropped_a_training_left_stopped_and_gone_on_with(tool: str, browser: Browser, tmp_path: Path) -> None:
    series = "a_series_of_images_whose_names_are_long_and_differ_at_their_end"
    for kind, level in (("bright", 120), ("dim", 30)):
        for donor in range(1, 5):
            picture(tmp_path / "cells" / kind / f"{series}_donor{donor}.png", donor + level, level)
    zarred(tmp_path / "field.zarr")
    with page_of(browser) as page:
        page.goto(tool + "images")
        page.set_input_files("input[data-folder]", tmp_path / "field.zarr")
        page.click("text=Bring them")
        page.wait_for_selector(".wall img")
        assert page.locator(".wall li").count() == 1, "an OME-Zarr that comes as a folder is one image"
        expect(page.locator(".wall li")).to_contain_text("64 × 48 px")
        page.goto(tool + "images")
        page.set_input_files("input[data-folder]", tmp_path / "cells")
        page.dblclick("text=Bring them")
        page.wait_for_selector(".wall img")
        set = page.url
        ends = page.locator(".wall .cut span:last-child").all_text_contents()
        inside = ("all => all.map((one) => one.lastElementChild.getBoundingClientRect().right <= "
                  "one.closest('li').getBoundingClientRect().right + 1)")  # fmt: skip
        assert all(page.locator(".wall .cut").evaluate_all(inside)), "the end of a name is seen"
        assert sum(end.endswith("donor4.png") for end in ends) == 2
        assert page.locator(f".wall .cut[title*='{series}_donor4.png']").count() == 2
        looked_at(page, "set-long-names")
        page.goto(tool + f"train?set={set.rpartition('/')[2]}")
        page.dblclick("text=Check them")
        page.wait_for_url("**/jobs/*")
        check = page.url
        page.reload()
        page.wait_for_selector(".verdict")
        page.go_back()
        page.go_forward()
        expect(page).to_have_url(check)
        page.dblclick("text=Go on: train")
        page.wait_for_url("**/settings")
        page.click("summary:has-text('More')")
        page.fill("#steps", "100000")
        page.fill("#folds", "2")
        page.dblclick("text=Start training")
        page.wait_for_url("**/jobs/*")
        page.goto(tool + "jobs")  # away while it learns
        page.goto(tool + "train")
        expect(page.locator("tbody tr")).to_have_count(2)
        page.click("tbody tr >> nth=0 >> a")
        page.dblclick("text=Cancel")
        page.wait_for_selector("text=Try again")
        page.dblclick("text=Try again")
        page.wait_for_selector("text=Cancel")
        page.reload()
        page.dblclick("text=Cancel")
        page.wait_for_selector(".state.cancelled")
        page.goto(tool + "jobs")
        expect(page.locator("tbody tr")).to_have_count(2)
        looked_at(page, "jobs-room")
