"""A reader study in a real browser: made from simulated images, read by two people in two rounds, judged, closed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from browser import SHOTS, looked_at, page_of, serving
from playwright.sync_api import Browser, Page

from potency.simulate import simulate
from potency.web.examples import EXAMPLES

IMAGES = 4


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("web")) as address:
        yield address


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The truth of the example images: drawn from the same seed, so they have the same names."""
    example = EXAMPLES["media"]
    return simulate(tmp_path_factory.mktemp("media"), kind=example.kind, **example.settings).folder / "labels.csv"


def shown(page: Page) -> str:
    """The code of the image that is shown, once its keys are listened to."""
    page.wait_for_selector("#desk[data-showing]")
    return str(page.get_attribute("#desk", "data-showing"))


def pressed(page: Page, *keys: str) -> None:
    """Press keys for one image and wait for the next one, or for the end of the round."""
    before = shown(page)
    for key in keys:
        page.wait_for_timeout(300)  # a press sooner than that is taken for the second of a double one
        page.keyboard.press(key)
    page.wait_for_selector(f"#desk[data-showing='{before}']", state="detached")


def joined(page: Page, tool: str, code: str, name: str, years: int) -> None:
    page.goto(f"{tool}reading")
    page.fill("#code", code)
    page.click("button:text('Open it')")
    page.fill("#name", name)
    page.fill("#years", str(years))
    page.fill("#field", "cell biology")
    page.click("button:text('Go on')")


def test_a_study_is_made_read_and_judged(tool: str, browser: Browser, labels: Path) -> None:
    set = httpx.post(f"{tool}images/examples/media.json", timeout=60).json()["set"]
    with page_of(browser) as page:
        page.goto(f"{tool}reading")
        looked_at(page, "reading-empty")
        page.click("button:text('Go on')")
        page.wait_for_url("**/reading/new**")
        page.set_input_files("[name=file]", labels)
        page.click("button:text('Add it')")
        page.locator("#truth option", has_text="label of labels.csv").wait_for(state="attached")
        assert page.input_value("#classes"), "the classes are those of the labels"
        page.fill("#title", "Which fate?")
        page.fill("[name=images]", str(IMAGES))
        page.fill("[name=twice]", "0")
        page.check("[name=rounds][value='2']")
        page.select_option("#model", "example:medium")
        page.check("[name=maps]")
        page.fill("[name=washout]", "0")
        looked_at(page, "reading-new")
        page.dblclick("text=Make the study")
        page.wait_for_selector("#code")
        code, study = page.inner_text("#code"), page.url
        assert httpx.get(f"{tool}reading.json").json()["studies"][0]["facts"]["set"] == set
        assert len(httpx.get(f"{tool}reading.json").json()["studies"]) == 1, "a double click makes one study"
        assert page.inner_text("#address") == f"{tool}read/{code}", "whole, to be passed on"
        page.focus("text=Copy the link")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=status]:text('Copied')")
        assert "Shown twice" not in page.inner_text("main"), "what is none is not said"
        looked_at(page, "reading-study-empty")
        for name, years, skip in (("Anna Berg", 12, 0), ("Ben", 2, 1)):
            joined(page, tool, code, name, years)
            read(page, name, skip)
        page.goto(f"{study}/results")
        page.wait_for_selector("h2:text('Round two less round one')")  # made by a job, while the page says so
        picture = page.locator(".disputed img").first
        picture.scroll_into_view_if_needed()
        assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 0
        looked_at(page, "reading-results")
        page.goto(study)
        looked_at(page, "reading-study")
        page.on("dialog", lambda dialog: dialog.accept())
        page.click("text=Close the study")
        page.click("text=Write the report")
        page.click("text=Open the report")
        page.wait_for_selector("h2:text('Agreement of all readers')")
        page.locator("h3", has_text="differ most").scroll_into_view_if_needed()
        page.screenshot(path=SHOTS / "reading-report.png")
        page.goto(f"{tool}reading")
        page.click("text=Which fate? >> nth=0")
        assert "Accuracy" in page.inner_text("main")
        looked_at(page, "reading-how-i-did")


def read(page: Page, name: str, skip: int) -> None:
    """Both rounds: with a reload, a step back, a pause, a double press, a second tab."""
    page.wait_for_selector("text=you may begin")
    if not skip:
        looked_at(page, "reading-ready")
    page.click("button:text('Begin')")
    first = shown(page)
    if not skip:
        looked_at(page, "reading-desk")
        seen = page.inner_html("main")
        assert "plate" not in seen and page.locator("#says").count() == 0, "no name, and no model in round one"
        page.wait_for_timeout(300)
        page.keyboard.press("p")
        assert page.is_visible("#veil")
        page.keyboard.press("1")
        page.keyboard.press("p")
        assert shown(page) == first, "nothing is answered while it is paused"
        page.reload()
        assert shown(page) == first
        second = page.context.new_page()
        second.goto(page.url)
        assert shown(second) == first
        page.wait_for_timeout(300)
        page.keyboard.press("1")
        page.keyboard.press("1")
        page.wait_for_selector(f"text=Image 2 of {IMAGES}")
        page.wait_for_timeout(300)
        second.keyboard.press("2")
        second.wait_for_selector("text=answered before")
        assert second.inner_text("#count") == f"Image 2 of {IMAGES}", "a double press and a second tab answer once"
        second.close()
        page.keyboard.press("Backspace")
        page.wait_for_selector("text=taken back")
        assert shown(page) == first
    for at in range(IMAGES):
        pressed(page, "3" if skip else "1" if at % 2 else "2")  # readers differ, in whatever order images come
    page.wait_for_selector("text=thank you for the first round")
    page.click("button:text('Begin')")
    shown(page)
    if not skip:
        page.wait_for_selector("#map img")
        looked_at(page, "reading-desk-with-model")
        page.set_viewport_size({"width": 820, "height": 1180})
        looked_at(page, "reading-desk-tablet")
        page.set_viewport_size({"width": 1200, "height": 900})
    for at in range(IMAGES):
        pressed(page, str(1 + at % 2) if at else "0")
    page.wait_for_selector(f"text=Thank you, {name}")


def test_a_number_is_typed_a_confidence_asked_and_a_lost_server_loses_nothing(tool: str, browser: Browser) -> None:
    set = httpx.post(f"{tool}images/examples/media.json", timeout=60).json()["set"]
    asked = {"set": set, "title": "How many per cent?", "kind": "number", "low": 0, "high": 100, "unit": "%",
             "images": 2}  # fmt: skip
    number = httpx.post(f"{tool}reading.json", data=asked).json()
    sure = {"set": set, "title": "Sure?", "classes": "one, two", "images": 2, "confidence": "true"}
    classes = httpx.post(f"{tool}reading.json", data=sure).json()
    with page_of(browser, color_scheme="dark") as page:
        for study in (number, classes):
            page.goto(f"{tool}reading/{study['id']}")
            page.wait_for_selector("#code")
        joined(page, tool, classes["code"], "Cy", 3)
        page.click("button:text('Begin')")
        first = shown(page)
        page.wait_for_timeout(300)
        page.keyboard.press("2")
        page.keyboard.press("2")
        looked_at(page, "reading-confidence-dark")
        assert shown(page) == first and page.is_visible("#sure"), "a double press is no confidence"
        pressed(page, "4")
        pressed(page, "1", "5")
        joined(page, tool, number["code"], "Cy", 3)
        page.click("button:text('Begin')")
        shown(page)
        page.fill("#value", "140")
        page.wait_for_timeout(300)
        page.keyboard.press("Enter")
        page.wait_for_selector("text=is not a number from 0 to 100")
        page.fill("#value", "40")
        page.route("**/answer.json", lambda route: route.fulfill(status=200, body="gone", content_type="text/plain"))
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Your answer is still here")
        looked_at(page, "reading-lost-dark")
        page.unroute("**/answer.json")
        before = shown(page)
        page.click("#retry")
        page.wait_for_selector(f"#desk[data-showing='{before}']", state="detached")
        page.fill("#value", "12,5")
        looked_at(page, "reading-number-dark")
        pressed(page, "Enter")
        page.wait_for_selector("text=all is answered")
    context = browser.new_context()
    page, other = context.new_page(), context.new_page()
    joined(page, tool, number["code"], "Di", 3)
    page.click("button:text('Begin')")
    shown(page)
    context.clear_cookies()
    other.goto(tool)  # another session begins in this browser while the page stays open
    page.fill("#value", "7")
    pressed(page, "Enter")
    context.close()
    answers = httpx.get(f"{tool}reading/{number['id']}/answers.csv").text
    assert ",40.0," in answers and ",12.5," in answers and ",7.0," in answers
