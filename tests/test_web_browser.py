"""Every page in a real browser: nothing refused, nothing from elsewhere, nothing that axe-core calls serious."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser import looked_at, page_of, serving
from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("web")) as address:
        yield address


def test_a_first_visit_leads_from_example_images_to_answers(tool: str, browser: Browser) -> None:
    with page_of(browser) as page:
        page.goto(tool)
        looked_at(page, "start-empty")
        page.click("text=Draw example images")
        page.wait_for_selector(".wall img")
        looked_at(page, "set")
        page.click("main >> text=What is it?")
        looked_at(page, "answer")
        page.check("input[value='example:medium']")
        page.dblclick("text=Get the answer")
        page.wait_for_selector(".answers")
        assert page.locator(".answer").count() == 24
        page.wait_for_selector(".answer figure img")  # maps are drawn while one reads
        assert page.locator(".answer figure img").count() > 0
        looked_at(page, "answers")
        page.go_back()
        page.goto(tool + "jobs")
        assert page.locator("tbody tr").count() == 1, "a double click asks once"
        looked_at(page, "jobs")


@pytest.mark.parametrize("path", ["answer", "images", "jobs", "models", "models/nuclei", "about", "nothing-here"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_pass_the_checks_of_accessibility(tool: str, browser: Browser, path: str, scheme: str) -> None:
    with page_of(browser, color_scheme=scheme) as page:
        if path == "nothing-here":
            page.route("**/nothing-here", lambda route: route.fulfill(response=route.fetch(), status=200))
        page.goto(tool + path)
        looked_at(page, f"{path.replace('/', '-')}-{scheme}")
