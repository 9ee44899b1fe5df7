"""The editor of masks in a real browser: strokes that survive a reload, a second tab, and the end of a session."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from browser import PATIENCE, looked_at, page_of, serving
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page
from test_web import until
from test_web_correct import CELLS, discs, png, seen

from potency.web.people import People
from potency.web.store import Store

NAME, PASSWORD = "Ana", "a password that nobody guesses"
LONG = "a long name of an image of Donor 17, plate 3, well B02, day 4, second staining"
SCALE = """async () => { const { view } = (await import('/static/correct.js')).now();
    return [view.x, view.y, view.scale]; }"""
BASE = "async () => (await import('/static/correct.js')).now().sender.base"
LABELS = """async () => { const { labels } = (await import('/static/correct.js')).now().view.mask;
    let text = ''; for (const n of labels) text += String.fromCharCode(n); return btoa(text); }"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("web")
    People(Store(made)).add(NAME, PASSWORD, "analyst")
    People(Store(made)).add("Ada", PASSWORD, "admin")
    return made


@pytest.fixture(scope="module")
def tool(folder: Path) -> Iterator[str]:
    with serving(folder, "--accounts") as address:
        yield address


@pytest.fixture(scope="module")
def client(tool: str, folder: Path) -> Iterator[httpx.Client]:
    key = People(Store(folder)).enter(1, kind="key")
    with httpx.Client(base_url=tool, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        yield client


class Set:
    """Corrections on a server, as a script sees them."""

    def __init__(self, client: httpx.Client, *cells: tuple[int, int, int], side: int = 64) -> None:
        self.client, labels = client, discs(*cells, side=side)
        files = []
        for name in (LONG, "b"):
            files += [("files", (f"{name}.png", seen(labels))),
                      ("files", (f"{name}_mask.png", png(labels.astype(np.uint16))))]  # fmt: skip
        self.id = begun(client, {"source": "masks"}, files)
        self.item = self.client.get(f"/correct/{self.id}.json").json()["items"][0]["id"]
        self.path = f"correct/{self.id}/{self.item}"

    def mask(self) -> NDArray[np.uint32]:
        told = self.client.get(f"/{self.path}/mask")
        return np.frombuffer(told.content, "<u4").reshape(int(told.headers["x-height"]), int(told.headers["x-width"]))


def begun(client: httpx.Client, data: dict[str, str], files: Any = None) -> str:
    """A set of corrections whose proposals are there."""
    made = client.post("/correct.json", files=files, data=data).json()
    until(lambda: client.get(f"/jobs/{made['job']}.json").json()["job"]["state"] == "done")
    return str(made["correction"])


def entered(page: Page, tool: str, name: str = NAME) -> None:
    page.goto(tool + "enter")
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("main button.main")
    page.wait_for_selector("nav")


def opened(page: Page, tool: str, made: Set) -> None:
    page.goto(tool + made.path)
    page.wait_for_selector(".editor[data-ready]")


def drag(page: Page, *points: tuple[float, float], up: bool = True) -> None:
    """Draw along points of the image."""
    x, y, scale = page.evaluate(SCALE)
    box = page.locator("[data-stage]").bounding_box()
    assert box
    for number, (across, down) in enumerate(points):
        page.mouse.move(box["x"] + x + across * scale, box["y"] + y + down * scale, steps=4 if number else 1)
        if not number:
            page.mouse.down()
    if up:
        page.mouse.up()


def saved(page: Page) -> None:
    page.wait_for_selector(".editor[data-state=saved]")
    page.wait_for_selector("[data-saved]:text-is('All changes saved')")


def shown(page: Page) -> NDArray[np.uint32]:
    pixels = base64.b64decode(page.evaluate(LABELS))
    return np.frombuffer(pixels, np.uint8).astype(np.uint32).reshape(64, -1)


def test_what_a_hand_draws_is_there_after_a_reload(tool: str, client: httpx.Client, browser: Browser) -> None:
    made = Set(client, *CELLS)
    with page_of(browser) as page:
        entered(page, tool)
        opened(page, tool, made)
        looked_at(page, "correct-editor")
        before = made.mask()
        page.keyboard.press("b")
        drag(page, (16, 16), (16, 34))
        saved(page)
        drawn = made.mask()
        assert drawn[32, 16] == 1 and (drawn[before > 0] == before[before > 0]).all() and (shown(page) == drawn).all()
        page.keyboard.press("s")
        drag(page, (10, 46), (52, 46))
        page.wait_for_selector("[data-cells]:text-is('4 cells')")
        assert (shown(page) == made.mask()).all() and len(np.unique(made.mask())) == 5
        page.keyboard.press("m")
        drag(page, (46, 18))
        drag(page, (16, 16))
        page.wait_for_selector("[data-cells]:text-is('3 cells')")
        page.keyboard.press("n")
        drag(page, (50, 40), (60, 40), (60, 58), (50, 58), (50, 41))
        saved(page)
        assert made.mask()[50, 55] == 5
        page.keyboard.press("Control+z")
        page.wait_for_selector("[data-cells]:text-is('3 cells')")
        saved(page)
        last = made.mask()
        assert last[50, 55] == 0 and (shown(page) == last).all()
        page.reload()
        page.wait_for_selector(".editor[data-ready]")
        assert (shown(page) == last).all() and (made.mask() == last).all()
        for _ in range(3):
            page.keyboard.press("Control+z")
        page.wait_for_selector("[data-does=undo]:disabled")
        saved(page)
        assert (made.mask() == before).all() and (shown(page) == before).all(), "undo goes back beyond the reload"
        page.keyboard.press("Control+Enter")
        page.wait_for_url(lambda url: made.item not in url)
        page.wait_for_selector(".editor[data-ready]")
        page.go_back()
        page.wait_for_selector(".editor[data-ready]")
        page.goto(tool + f"correct/{made.id}")
        looked_at(page, "correct-set")
        assert page.locator("text=1 of 2 done").count() == 1
        page.goto(tool + "correct")
        looked_at(page, "correct")


def test_two_tabs_and_a_session_that_ends_lose_no_stroke(
    tool: str, client: httpx.Client, folder: Path, browser: Browser
) -> None:
    made = Set(client, *CELLS)
    context = browser.new_context(viewport={"width": 1000, "height": 800}, color_scheme="dark")
    context.set_default_timeout(PATIENCE)
    one = context.new_page()
    entered(one, tool)
    opened(one, tool, made)
    # Another tab changes the mask; this one does not know of it yet.
    other: dict[str, Any] = {"base": 0, "operations": [{"key": "other-tab", "kind": "delete", "label": 2}]}
    assert made.client.post(f"/{made.path}/edits.json", json=other).json()["revision"] == 1
    one.keyboard.press("n")
    drag(one, (50, 40), (60, 40), (60, 58), (50, 58), (50, 41))
    one.wait_for_selector(".editor[data-state=conflict]")
    assert "changed elsewhere" in one.inner_text("[data-fault]") and made.mask()[50, 55] == 0
    looked_at(one, "correct-conflict")
    one.reload()
    one.wait_for_selector(".editor[data-state=conflict]")  # what was not sent outlives the page
    one.click("text=put my 1 change on it")
    saved(one)
    assert made.mask()[50, 55] and not (made.mask() == 2).any() and (shown(one) == made.mask()).all()
    # The session ends while the brush is down.
    one.keyboard.press("b")
    drag(one, (16, 16), (16, 30), up=False)
    Store(folder).change("DELETE FROM sessions WHERE kind = 'browser'")
    one.mouse.up()
    one.wait_for_selector(".editor[data-state=out]")
    assert made.mask()[30, 16] == 0
    looked_at(one, "correct-logged-out")
    two = context.new_page()
    entered(two, tool, "Ada")
    one.click("text=I have logged in")
    one.wait_for_selector("text=You are logged in as somebody else")
    assert made.mask()[30, 16] == 0, "nobody else can draw on it, and the stroke waits for who drew it"
    entered(two, tool)
    two.close()
    one.click("text=I have logged in")
    saved(one)
    assert made.mask()[30, 16] == 1 and (shown(one) == made.mask()).all()
    # The tab is closed while the brush is down.
    one.keyboard.press("e")
    drag(one, (46, 30), up=False)
    drag(one, (30, 46), (36, 46), up=False)
    one.close(run_before_unload=False)
    again = context.new_page()
    opened(again, tool, made)
    assert made.mask()[46, 30] == 0 and (shown(again) == made.mask()).all()
    # A page that was long without its server kept more than one request may carry.
    many = [{"key": f"long-away-{n}", "kind": "draw", "label": 1, "over": True, "radius": 0.9,
             "points": [[n % 60, 50 + n // 60]]}
            for n in range(600)]  # fmt: skip
    kept = {"base": again.evaluate(BASE), "operations": many}
    put = "([name, kept]) => localStorage.setItem(name, kept)"
    again.evaluate(put, [f"correct:{made.item}:long", json.dumps(kept)])
    again.reload()
    again.wait_for_selector(".editor[data-ready]")
    saved(again)
    assert (made.mask()[51:59, 2:58] == 1).all() and (shown(again) == made.mask()).all()
    context.close()


def test_classes_are_given_by_keys(tool: str, client: httpx.Client, browser: Browser) -> None:
    taken = client.post("/images/examples/media.json").json()
    correction = begun(client, {"source": "example:medium", "set": taken["set"]})
    with page_of(browser) as page:
        entered(page, tool)
        page.goto(tool + f"correct/{correction}")
        page.wait_for_selector(".relabel li.here")
        page.keyboard.press("1")
        page.keyboard.press("2")
        page.wait_for_selector("#done:text-is('2')")
        page.wait_for_selector("#saved:text-is('Saved.')")
        page.keyboard.press("u")
        page.wait_for_selector("#done:text-is('1')")
        looked_at(page, "correct-classes")
        page.reload()
        told = client.get(f"/correct/{correction}.json").json()
        first = told["items"][0]
        assert first["classes"] == {"0": told["correction"]["classes"][0]} and told["correction"]["done"] == 1
        assert page.locator(".relabel li[data-state=done]").count() == 1


def test_none_and_two_thousand_cells_on_a_tablet(tool: str, client: httpx.Client, browser: Browser) -> None:
    many = [(12 + 22 * row, 12 + 22 * column, 9) for row in range(45) for column in range(45)]
    for name, cells in (("none", []), ("many", many)):
        made = Set(client, *cells, side=1000 if cells else 64)
        with page_of(browser, has_touch=True) as page:
            page.set_viewport_size({"width": 820, "height": 1180})
            entered(page, tool)
            opened(page, tool, made)
            page.wait_for_selector(f"[data-cells]:text-is('{len(cells)} cells')")
            if cells:
                page.keyboard.press(".")
                page.keyboard.press("Delete")
                saved(page)
                assert len(np.unique(made.mask())) == len(cells)
            looked_at(page, f"correct-{name}")


def test_a_mask_larger_than_what_is_shown_is_corrected_part_by_part(
    tool: str, client: httpx.Client, browser: Browser
) -> None:
    made = Set(client, (40, 40, 20), (2500, 2500, 30), (2300, 2400, 40), side=2600)

    def corner() -> NDArray[np.uint32]:
        told = client.get(f"/{made.path}/mask?x=552&y=552")
        return np.frombuffer(told.content, "<u4").reshape(2048, 2048)

    with page_of(browser) as page:
        entered(page, tool)
        opened(page, tool, made)
        page.select_option("[data-part]", "552,552")
        page.wait_for_selector("[data-cells]:text-is('2 cells')")
        loaded: list[str] = []
        page.on("request", lambda asked: loaded.append(asked.url) if "/mask" in asked.url else None)
        before = corner()
        page.keyboard.press("b")
        drag(page, (2500 - 552, 2500 - 552), (2560 - 552, 2500 - 552))
        saved(page)
        assert corner()[2500 - 552, 2560 - 552] == 2 and not loaded, "no stroke fetches the mask"
        page.keyboard.press("m")
        drag(page, (2400 - 552, 2300 - 552))
        page.wait_for_selector("[data-cells]:text-is('1 cell')")
        for _ in range(2):
            page.keyboard.press("Control+z")
        page.wait_for_selector("[data-does=undo]:disabled")
        page.wait_for_selector("[data-cells]:text-is('2 cells')")
        saved(page)
        assert (corner() == before).all() and not loaded
        looked_at(page, "correct-large")
