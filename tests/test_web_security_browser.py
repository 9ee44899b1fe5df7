"""Pages of accounts in a real browser, and names made to harm wherever they are shown: nothing of them ever runs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import tifffile
from browser import looked_at, page_of, serving
from playwright.sync_api import Browser, Page
from visitors import PASSWORD, png

from potency.web.people import People
from potency.web.store import Store

ASKING = """() => { const made = document.createElement('section'); document.querySelector('main').append(made);
    made.setAttribute('hx-get', '/jobs'); made.setAttribute('hx-trigger', 'every 1s'); htmx.process(made); }"""
ATTACK = '"><img src=x onerror="window.hurt=1"><script>window.hurt=1</script>{{7*7}}'


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("lab") / "web"
    people = People(Store(folder))
    for name, role in {"ada": "admin", ATTACK[:40]: "analyst", "rob": "reader"}.items():
        people.add(name, PASSWORD, role)
    with serving(folder, "--accounts") as address:
        yield address, folder


def enter(page: Page, address: str, name: str) -> None:
    page.goto(address + "enter")
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("button:has-text('Log in')")
    page.wait_for_selector(".who")


def unhurt(page: Page, name: str) -> None:
    assert page.evaluate("window.hurt") is None, name
    assert page.locator("main img[src='x'], main script").count() == 0, name
    assert "49" not in page.locator("h1").first.inner_text(), name


def test_an_admin_adds_somebody_who_logs_in_and_makes_a_key(tool: tuple[str, Path], browser: Browser) -> None:
    address, _ = tool
    with page_of(browser) as page:
        page.goto(address + "enter")
        looked_at(page, "enter")
        enter(page, address, "ada")
        page.click("a[href='/account']")
        page.click("text=People")
        page.fill("#name", "Mara Muster-Langername von und zu Zellbiologie")
        page.fill("#password", PASSWORD)
        looked_at(page, "people")
        page.click("main button:has-text('Add')")
        page.wait_for_selector("text=Role and state")
        looked_at(page, "person")
        page.goto(address + "log")
        looked_at(page, "log")
        page.select_option("#act", "add analyst")
        page.click("button:has-text('Show')")
        page.wait_for_url("**act=add*")
        assert page.locator("tbody tr").count() == 1
    with page_of(browser, color_scheme="dark") as page:
        page.set_viewport_size({"width": 820, "height": 1180})
        enter(page, address, "Mara Muster-Langername von und zu Zellbiologie")
        page.click("a[href='/account']")
        page.fill("#label", "folder watcher")
        page.dblclick("text=Make a key")
        page.wait_for_selector("#secret")
        secret = page.inner_text("#secret")
        looked_at(page, "key")
        page.click("text=I have copied it")
        assert page.locator("text=folder watcher").count() == 1 and secret not in page.content()
        looked_at(page, "account")
        told = httpx.get(address + "index.json", headers={"authorization": f"Bearer {secret}"})
        assert told.status_code == 200
        page.click("text=Log out")
        page.wait_for_selector("#password")
        assert page.context.request.get(address + "account").status == 401
        assert "no-store" in page.context.request.get(address + "enter").headers["cache-control"], "nor by going back"


def test_a_link_of_another_page_leads_there_whether_somebody_is_logged_in_or_not(
    tool: tuple[str, Path], browser: Browser
) -> None:
    address, _ = tool
    context = browser.new_context()
    page = context.new_page()
    for known in (False, True):
        page.goto(f"data:text/html,<a href='{address}log?name=ada'>the log</a>")
        page.click("a")
        if not known:
            page.fill("#name", "ada")
            page.fill("#password", PASSWORD)
            page.click("button:has-text('Log in')")
        page.wait_for_selector("h1:text-is('Log')")
        assert page.url == f"{address}log?name=ada"
    page.evaluate(ASKING)  # as the page of a job does
    context.clear_cookies()
    page.wait_for_selector("text=You are logged out. Load this page again")
    context.set_offline(True)
    page.wait_for_selector("text=The server cannot be reached. It is tried again.")
    context.close()


def test_a_reader_is_offered_nothing_that_is_refused(tool: tuple[str, Path], browser: Browser) -> None:
    address, _ = tool
    with page_of(browser) as page:
        enter(page, address, "rob")
        for path in ("answer", "cells", "plate", "train", "correct", "images", "reading"):
            page.goto(address + path)
            assert page.locator("[data-drop]").count() == 0, path
            assert page.locator("text=ask who runs this page for the role analyst").count() == (path != "reading"), path
        looked_at(page, "reading-as-reader")
        page.goto(address + "answer")
        page.click("text=Draw example images")
        page.wait_for_selector("#set")
        looked_at(page, "answer-as-reader")
        page.goto(address + "images")
        page.click("tbody a")
        page.wait_for_selector(".wall img")
        assert page.locator("main .button").all_inner_texts() == ["What is it?", "Find cells", "Plate map"]


def test_what_is_named_to_harm_is_shown_as_text_everywhere(tool: tuple[str, Path], browser: Browser) -> None:
    address, _ = tool
    written = io.BytesIO()
    meta = {"axes": "CYX", "Channel": {"Name": [ATTACK, "GFP", "RFP"]}, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(written, np.zeros((3, 20, 20), "uint8"), metadata=meta, photometric="minisblack", ome=True)
    with page_of(browser) as page:
        enter(page, address, ATTACK[:40])
        csrf = page.get_attribute("meta[name=csrf]", "content") or ""
        cookies = {one["name"]: one["value"] for one in page.context.cookies()}  # type: ignore[typeddict-item]
        with httpx.Client(base_url=address, cookies=cookies, headers={"x-csrf-token": csrf}, timeout=60) as client:
            files = [("files", (name, data)) for name, data in
                     {f"{ATTACK}.png": png(), f"{ATTACK}.ome.tif": written.getvalue(), f"{ATTACK}.txt": b"x"}.items()]
            set = client.post("/images.json", files=files, data={"title": ATTACK}).json()["set"]
            job = client.post("/answer.json", data={"model": "example:medium", "set": set}).json()["id"]
            client.post("/account/keys.json", data={"label": ATTACK})
        for path in ("", "answer", "images", f"images/{set}", "jobs", f"jobs/{job}", "models", "about", "account"):
            page.goto(address + path)
            unhurt(page, path)
            if path == f"images/{set}":
                looked_at(page, "names-that-attack")
    with page_of(browser) as page:
        enter(page, address, "ada")
        for path in ("people", "people/2", "log", f"log?name={ATTACK}&act={ATTACK}"):
            page.goto(address + path)
            unhurt(page, path)


def test_files_that_hold_more_than_pixels_are_told_and_cleaned(tool: tuple[str, Path], browser: Browser) -> None:
    address, folder = tool
    written = io.BytesIO()
    tifffile.imwrite(written, np.zeros((20, 20), "uint8"), extratags=[(315, 2, 0, "Mara Muster", True)])
    with page_of(browser) as page:
        enter(page, address, ATTACK[:40])
        page.goto(address + "images")
        page.click("summary:has-text('personal data')")
        looked_at(page, "upload-more")
        for strip in (False, True):
            page.goto(address + "images")
            page.set_input_files("input[name=files]", [{"name": "a.tif", "mimeType": "image/tiff",
                                                        "buffer": written.getvalue()}])  # fmt: skip
            if strip:
                page.click("summary:has-text('personal data')")
                page.check("input[name=strip]")
            page.click("text=Bring them")
            page.wait_for_selector(".wall")
            if not strip:
                assert "owner in 1" in page.inner_text(".banner")
                looked_at(page, "personal")
                page.click("text=Take it out of the files")
                page.wait_for_selector("text=Taken out of the files")
            assert "owner (1)" in page.inner_text("main") and not page.locator(".banner").count()
    kept = [path for path in (folder / "sets").rglob("*.tif") if path.is_file()]
    assert len(kept) >= 2 and not [path for path in kept if b"Mara Muster" in path.read_bytes()]
