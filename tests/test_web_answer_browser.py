"""The journey "what is it?" in a real browser: one image, many, one broken among them, images that are unlike."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from browser import looked_at, page_of, serving
from PIL import Image
from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("web")) as address:
        yield address


def given(name: str, pixels: np.ndarray | bytes) -> dict[str, object]:
    if not isinstance(pixels, bytes):
        written = io.BytesIO()
        Image.fromarray(pixels).save(written, format="PNG")
        pixels = written.getvalue()
    return {"name": name, "mimeType": "image/png", "buffer": pixels}


def cell(seed: int, side: int = 64) -> np.ndarray:
    """Noise of the brightness of the examples: an image like none of them."""
    random = np.random.default_rng(seed)
    return random.integers(15_000, 38_000, (side, side)).astype(np.uint16)


def test_many_images_from_the_model_that_suits_them_to_a_map_of_one(tool: str, browser: Browser) -> None:
    with page_of(browser) as page:
        page.goto(tool + "answer")
        page.click("text=Draw example images")
        page.wait_for_url("**/answer?set=*")
        assert page.is_checked("input[value='example:medium']"), "the model of these images is chosen already"
        looked_at(page, "answer-choice")
        page.click("details.more:has(#maps) summary")
        page.select_option("#maps", "0")
        page.click("text=Get the answer")
        page.wait_for_selector(".answers .answer")
        assert "/answer/" in page.url and page.locator(".answer").count() == 24
        assert page.locator(".near img").count() == 24 * 5
        looked_at(page, "answer-many")
        page.select_option("#order", "doubt")
        page.wait_for_url("**order=doubt**")
        sure = [float(told.split()[-2]) for told in page.locator(".class .hint").all_inner_texts()]
        assert sure == sorted(sure) and sure[0] < sure[-1]
        with page.expect_download() as loaded:
            page.click("text=Table (CSV)")
        assert loaded.value.suggested_filename == "answers.csv"
        page.click(".answer .name >> nth=0")
        page.click("text=Draw a map of what the model looked at")
        page.wait_for_selector(".why img")
        assert page.locator(".large .near img").count() == 5 and "Hiding first" in page.inner_text(".why")
        looked_at(page, "answer-one-with-map")
        page.click("text=next")
        page.wait_for_selector("text=Draw a map of what the model looked at")


def test_one_image_is_large_and_one_that_is_unlike_says_so(tool: str, browser: Browser) -> None:
    with page_of(browser) as page:
        page.goto(tool + "answer")
        page.set_input_files("input[name=files]", [given("noise <b>&.png", cell(1))])
        page.check("input[value='example:medium']")
        page.click("text=Get the answer")
        page.wait_for_selector(".large .warn")
        assert "unlike the training images" in page.inner_text(".large .warn")
        page.click("text=Draw maps of what the model looked at")  # on request only: it is not to be read
        page.wait_for_selector(".why img")
        looked_at(page, "answer-unlike")


def test_a_broken_image_costs_the_others_nothing(tool: str, browser: Browser) -> None:
    with page_of(browser) as page:
        page.goto(tool + "answer")
        name = "a rather long name of an image, well B{}, donor 12, day 3, field 7, repeated.png"
        files = [given(name.format(k), cell(k)) for k in range(2)]
        page.set_input_files("input[name=files]", [*files, given("torn.png", b"\x89PNG no more")])
        page.check("input[value='example:pluripotent']")
        page.click("text=Get the answer")
        page.wait_for_selector(".answers .answer")
        assert page.locator(".answer").count() == 3
        assert "torn.png" in page.inner_text(".answer.failed") and page.locator(".answer.failed .bad").count() == 1
        assert page.inner_text(".counts .wrong").split() == ["1", "not", "answered"]
        looked_at(page, "answer-broken")
        page.click(".counts .wrong")
        page.wait_for_url("**show=errors")
        assert page.locator(".answer").count() == 1
