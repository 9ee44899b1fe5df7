"""Ways through the tool in a real browser: files dropped anywhere, a change of mind, and where a form leads."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import PATIENCE, looked_at, page_of, serving
from PIL import Image
from playwright.sync_api import Browser, expect


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("web")) as address:
        yield address


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    rng, written = np.random.default_rng(0), io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (48, 48)).astype(np.uint8)).save(written, format="PNG")
    (tmp_path / "field.png").write_bytes(written.getvalue())
    return tmp_path / "field.png"


def test_files_chosen_on_the_page_lead_to_what_becomes_of_them(tool: str, browser: Browser, picture: Path) -> None:
    for path, button, then in (("correct", "Begin", "correct"), ("cells", "Find the cells", "jobs"),
                               ("answer", "Get the answer", "answer"), ("images", "Bring", "images")):  # fmt: skip
        with page_of(browser) as page:
            page.goto(f"{tool}{path}")
            page.set_input_files("input[type=file] >> nth=0", picture)
            if path == "correct":
                page.check("input[value=empty]")
            if path == "answer":
                page.check("input[name=model] >> nth=0")
            page.get_by_role("button", name=re.compile(button)).first.click()
            page.wait_for_url(re.compile(rf"/{then}/\w+$"), timeout=PATIENCE)
            expect(page.locator("h1")).to_have_text(re.compile("field.png"))
            if path == "cells":  # noise: an image alone without a cell is an answer, too
                expect(page.locator(".count")).to_contain_text("0 cells", timeout=PATIENCE)


def test_the_choice_made_last_counts_and_a_file_beside_the_box_is_taken(
    tool: str, browser: Browser, picture: Path
) -> None:
    with page_of(browser) as page:
        page.goto(f"{tool}images")
        page.set_input_files("input[type=file] >> nth=0", picture)
        page.get_by_role("button", name=re.compile("Bring")).first.click()
        page.wait_for_url(re.compile(r"/images/\w+$"), timeout=PATIENCE)
        page.goto(f"{tool}cells")
        page.set_input_files("input[type=file] >> nth=0", picture)
        expect(page.locator(".chosen")).to_contain_text("1 file")
        page.select_option("select[name=set]", index=1)
        expect(page.locator(".chosen")).to_have_text("")
        assert page.locator("input[type=file] >> nth=0").evaluate("input => input.files.length") == 0
        kept = page.evaluate("""() => {
            const data = new DataTransfer();
            data.items.add(new File(["x"], "b.png"));
            return document.querySelector("h1").dispatchEvent(
                new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""")
        assert not kept, "the browser would open the file in place of the page"
        expect(page.locator(".chosen")).to_contain_text("b.png")
        assert page.input_value("select[name=set]") == ""


def test_example_fields_of_several_channels_come_back_and_can_be_corrected(tool: str, browser: Browser) -> None:
    with page_of(browser) as page:
        page.goto(f"{tool}correct")
        page.get_by_role("button", name="Draw example fields of cells").click()
        page.wait_for_url(re.compile(r"/correct\?set=\w+"), timeout=PATIENCE)
        assert page.locator("input[value=nuclei]").is_checked()
        page.get_by_role("button", name="Begin").click()
        page.get_by_role("link", name="Start correcting").wait_for(timeout=PATIENCE)
        expect(page.locator("main")).to_contain_text("4 of 4 images are ready")
        assert "It could name a person" not in page.goto(f"{tool}images").text()  # type: ignore[union-attr]


def test_lists_tell_their_state_on_a_telephone(tool: str, browser: Browser) -> None:
    with page_of(browser, viewport={"width": 390, "height": 800}) as page:
        for path in ("jobs", "images", "correct"):
            page.goto(f"{tool}{path}")
            cells = page.locator(".rows tbody tr >> nth=0").locator("td")
            assert cells.count()
            for cell in cells.all():
                box = cell.bounding_box()
                assert box is None or box["x"] + box["width"] <= 390
            looked_at(page, f"telephone-{path}")
