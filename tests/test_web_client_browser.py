"""What a script asked for, as its job's page shows it in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from browser import looked_at, page_of, serving
from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("web")) as address:
        yield address


def test_the_page_of_a_verb_lists_what_the_script_gets(tool: str, browser: Browser) -> None:
    with httpx.Client(base_url=tool, timeout=60) as http:
        set = http.post("images/examples/media.json").json()["set"]
        options = '{"families": ["intensity"]}'
        job = http.post("verbs/measure.json", data={"set": set, "options": options}).json()["id"]
    with page_of(browser) as page:
        page.goto(f"{tool}jobs/{job}")
        page.wait_for_selector(".files li")
        assert "24 rows." in page.inner_text("main")
        looked_at(page, "verb")
        with page.expect_download() as table:
            page.click("text=measured.parquet")
        assert table.value.suggested_filename == "measured.parquet"
        page.goto(tool + "jobs")
        assert "Measure (script)" in page.inner_text("tbody")
