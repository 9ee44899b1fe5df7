"""The viewer at the edges of what images are: no pixel size, a flat channel, 16 bits, no cell, many, long names."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import tifffile
from browser import looked_at, page_of, serving
from cell_fields import field, png, tiff
from playwright.sync_api import Browser, Page, expect
from test_web import until

from potency.web import layers
from potency.web.store import Store

LONG = "Donor 17 plate 3 well B02 day 4 second staining of the third repeat, " * 2
BLUE, GREEN = (0, 114, 178), (0, 158, 115)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("web")


@pytest.fixture(scope="module")
def tool(folder: Path) -> Iterator[str]:
    with serving(folder) as address:
        yield address


def given(tool: str, name: str, data: bytes) -> tuple[str, str]:
    """An image by itself: its set and its id."""
    set = httpx.post(tool + "images.json", files=[("files", (name, data))], timeout=60).json()["set"]
    (file,) = httpx.get(f"{tool}images/{set}.json").json()["files"]
    return set, file["id"]


def coloured(page: Page, colour: tuple[int, int, int]) -> int:
    """How many pixels of the stage are nearly of a colour."""
    return int(page.evaluate("""(colour) => { const of = document.querySelector(".stage canvas");
      const whole = of.getContext("2d").getImageData(0, 0, of.width, of.height).data;
      let count = 0;
      for (let k = 0; k < whole.length; k += 4) count += colour.every((v, c) => Math.abs(whole[k + c] - v) < 40);
      return count; }""", list(colour)))


def opened(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector(".viewer .panel h3")
    page.wait_for_load_state("networkidle")


def test_a_flat_channel_of_sixteen_bits_and_no_pixel_size(tool: str, browser: Browser) -> None:
    cells = field().astype(np.uint16) * 250
    pixels = np.stack([cells, np.full_like(cells, 5000), np.zeros_like(cells), cells[:, ::-1]])
    written = io.BytesIO()
    tifffile.imwrite(written, pixels, metadata={"axes": "CYX"}, photometric="minisblack")
    set, id = given(tool, LONG + ".tif", written.getvalue())
    told = httpx.get(f"{tool}view/{set}/{id}.json").json()
    assert told["um"] is None and all(one["high"] > one["low"] for one in told["channels"])
    with page_of(browser) as page:
        opened(page, f"{tool}view/{set}/{id}")
        assert page.inner_text(".scale span").endswith("px"), "no pixel size is made up"
        for box in page.locator(".channel input[type=checkbox]").all():
            box.check()
        for slider in page.locator(".channel input[type=range]").all():
            for end in ("Home", "End"):
                slider.focus()
                page.keyboard.press(end)
        page.wait_for_load_state("networkidle")
        texts = page.locator(".channel output").all_inner_texts()
        ends = list(map(float, texts))
        assert len(ends) == 8 and all(low < high < 1e6 for low, high in zip(ends[::2], ends[1::2], strict=True)), texts
        looked_at(page, "edge-flat-channel")
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, "a long name makes no page wide"
        looked_at(page, "edge-long-name-narrow")


def cells_of(folder: Path, tool: str, labels: np.ndarray, classes: list[str], planes: int = 1) -> str:
    """A job that found these cells in an image of their size (the middle plane of some); the address of its viewer."""
    light = np.stack([np.where(labels > 0, 180, 20).astype(np.uint8)] * planes)
    set, id = given(tool, LONG + ".ome.tif", tiff(light, "ZYX", 0.4) if planes > 1 else tiff(light[0], "YX", 0.4))
    store = Store(folder)
    job = httpx.post(tool + "cells.json", data={"model": "nuclei", "set": set}).json()["id"]
    httpx.post(f"{tool}jobs/{job}/cancel.json")
    place = store.place("jobs", job)
    place.mkdir(exist_ok=True)
    tifffile.imwrite(place / "labels.tif", labels.astype(np.uint16), compression="zlib")
    numbers, areas = np.unique(labels[labels > 0], return_counts=True)
    rows: dict[str, Any] = {"tile.of": id, "image": LONG, "object": numbers, "area": areas, "area_um2": areas * 0.16}
    if classes:
        rows |= {"class": [classes[number % len(classes)] for number in numbers], "score": 0.75}
    pd.DataFrame(rows).to_parquet(place / "objects.parquet")
    layers.write(place, {id: [layers.Layer(name="cells", title="Cells", single="Cell", kind="labels",
                                           path="labels.tif", objects="objects.parquet",
                                           z=planes // 2 if planes > 1 else None)]})  # fmt: skip
    return f"{tool}view/{set}/{id}?job={job}"


def test_two_thousand_cells_by_class_and_their_measurements_under_the_pointer(
    tool: str, folder: Path, browser: Browser
) -> None:
    cell = np.zeros((22, 22), int)
    cell[2:20, 2:20] = 1
    labels = np.kron(np.arange(1, 2026).reshape(45, 45), cell)
    address = cells_of(folder, tool, labels, ["stem cell", "neuron", "a class with a name as long as a sentence"])
    with page_of(browser) as page:
        opened(page, address)
        until(lambda: coloured(page, BLUE) > 0)
        outlines = coloured(page, BLUE)
        page.select_option(".layer select", "class")
        until(lambda: coloured(page, BLUE) > 2 * outlines)
        assert coloured(page, GREEN) > 2 * outlines, "each class has its colour all over its cells"
        assert page.locator(".layer .key li").count() == 3
        box = page.locator(".stage").bounding_box()
        assert box
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_selector(".said dl")
        said = page.inner_text(".said")
        assert "Cell 1013" in said and "324" not in said and "51.8 µm²" in said, said
        assert "neuron" in said or "stem cell" in said or "sentence" in said, said
        assert "0.75" in said and "µm:" in said, said
        looked_at(page, "edge-many-cells-by-class")
        page.locator(".layer input[type=range]").fill("0.3")
        page.keyboard.press("Tab")
        page.mouse.move(box["x"] + 5, box["y"] + 5)
        page.set_viewport_size({"width": 820, "height": 1180})
        looked_at(page, "edge-many-cells-tablet")


def test_of_a_stack_it_is_said_in_which_plane_cells_were_found(tool: str, folder: Path, browser: Browser) -> None:
    labels = np.zeros((60, 60), int)
    labels[20:40, 20:40] = 1
    address = cells_of(folder, tool, labels, ["neuron"], planes=5)
    with page_of(browser) as page:
        opened(page, address)
        expect(page.locator(".panel output").first).to_have_text("3 of 5")
        page.select_option(".layer select", "class")
        until(lambda: coloured(page, BLUE) > 0)
        page.locator(".openseadragon-canvas").focus()
        page.keyboard.press("]")
        until(lambda: coloured(page, BLUE) == 0)
        expect(page.locator(".layer")).to_contain_text("Of plane 3 of 5 only.")
        page.click("text=Go there")
        expect(page.locator(".panel output").first).to_have_text("3 of 5")
        until(lambda: coloured(page, BLUE) > 0)
        looked_at(page, "edge-plane-of-cells")


def test_an_image_without_a_cell(tool: str, folder: Path, browser: Browser) -> None:
    address = cells_of(folder, tool, np.zeros((200, 300), int), [])
    with page_of(browser, color_scheme="dark") as page:
        opened(page, address)
        box = page.locator(".stage").bounding_box()
        assert box
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        expect(page.locator(".said")).to_contain_text("µm: 20")
        assert page.locator(".said dl").count() == 0
        looked_at(page, "edge-no-cell")


def test_one_pixel_is_an_image(tool: str, browser: Browser) -> None:
    set, id = given(tool, "one.png", png(np.array([[200]], np.uint8)))
    with page_of(browser) as page:
        opened(page, f"{tool}view/{set}/{id}")
        expect(page.locator(".scale span")).to_have_text("1 px")
        until(lambda: coloured(page, (200, 200, 200)) > 1000)  # as bright as it is, not black
        looked_at(page, "edge-one-pixel")
