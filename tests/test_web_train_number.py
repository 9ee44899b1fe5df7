"""The journey "train" with a number as truth, in a browser: a table of amounts, a check, a model, its answers."""

from __future__ import annotations

import csv
import io
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


def drawn(folder: Path) -> None:
    """Simulated cells of six donors, each the brighter the more of a stain it took up, and the table of the amounts."""
    folder.mkdir()
    lines = ["image,label,donor"]
    for donor in range(1, 7):
        for k in range(4):
            amount = 0.25 * (k + 1) + 0.02 * donor
            random = np.random.default_rng(10 * donor + k)
            y, x = np.indices((24, 24)) - 12
            pixels = 30 + 180 * amount * np.exp(-(x**2 + y**2) / 40) + random.normal(0, 5, (24, 24))
            name = f"donor{donor}_{k}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
            lines.append(f"{name},{amount:.3f},d{donor}")
    (folder / "labels.csv").write_text("\n".join(lines))


def test_a_folder_with_numbers_becomes_a_model_that_is_used(tool: str, browser: Browser, tmp_path: Path) -> None:
    drawn(tmp_path / "stained")
    with page_of(browser) as page:
        page.goto(tool + "train")
        page.set_input_files("input[data-folder]", tmp_path / "stained")
        page.click("text=Check them")
        page.wait_for_selector(".verdict")
        looked_at(page, "train-number-check")
        page.click("text=Go on: train")
        page.click("summary:has-text('More')")
        page.fill("#steps", "12")
        page.fill("#folds", "2")
        page.click("text=Start training")
        page.wait_for_selector("text=Figures, on groups it had not seen")
        expect(page.locator("main")).to_contain_text("Mean abs")
        looked_at(page, "train-number-report")
        page.click("a[href^='/answer?model=']")  # called as good as the model is
        expect(page.locator("input[name=model]:checked")).to_have_count(1)
        page.select_option("#set", index=1)
        page.click("text=Get the answer")
        page.wait_for_selector(".class")
        assert page.locator(".class").count() == 24
        page.select_option("#order", label="largest first")
        page.wait_for_url("**order=high*")
        said = [float(text) for text in page.locator(".class span").all_text_contents()]
        assert said == sorted(said, reverse=True) and "class" not in page.inner_text("#order")
        page.wait_for_selector(".why")
        looked_at(page, "answers-number")
        with page.expect_download() as taken:
            page.click("text=Table (CSV)")
        rows = list(csv.DictReader(io.StringIO(Path(taken.value.path()).read_text("utf-8"))))
        assert len(rows) == 24 and all(0 < abs(float(row["answer"])) < 10 for row in rows)
        page.click("text=Answered by >> a")
        expect(page.locator("text=Use it")).to_be_visible()
        looked_at(page, "model-number")
