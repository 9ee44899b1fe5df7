"""A web tool in a process of its own and a browser that looks at it, for the tests of its pages."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HERE = Path(__file__).parent
AXE = HERE / "vendor" / "axe-core" / "axe.min.js"
SHOTS = Path(os.environ.get("POTENCY_SCREENSHOTS", HERE.parent / "out" / "screenshots"))
NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 120_000  # ms that long work may take on a busy machine


def chromium() -> str:
    """Where the browser is; without one a test is skipped, in CI it fails."""
    found = next((path for name in NAMES if (path := shutil.which(name))), "")
    if not found and os.environ.get("POTENCY_BROWSER") == "required":
        pytest.fail("there is no Chromium, and POTENCY_BROWSER says that there must be one")
    if not found:
        pytest.skip("there is no Chromium: apt install chromium")
    return found


def started(folder: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    """`potency serve` on a free port: its process and its address."""
    words = [sys.executable, "-m", "potency", "serve", "--into", str(folder), "--port", "0", "--no-open", *options]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("open http"), line + process.stdout.read()
    return process, line.split()[1]


def ended(process: subprocess.Popen[str], by: int = signal.SIGTERM) -> None:
    """Stop a server, in the way of a signal."""
    with process:
        process.send_signal(by)
        process.communicate()


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[str]:
    """The address of a server that ends with the block."""
    process, address = started(folder, *options)
    try:
        yield address
    finally:
        ended(process)


@contextlib.contextmanager
def browsing() -> Iterator[Browser]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def page_of(browser: Browser, **how: Any) -> Iterator[Page]:
    """A page on which nothing may go wrong: no script error, no refused resource, nothing from another host."""
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **how})
    page, wrong = context.new_page(), []
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    page.on("console", lambda told: wrong.append(f"console: {told.text}") if told.type == "error" else None)
    page.on("request", lambda asked: wrong.append(f"elsewhere: {asked.url}") if not _own(asked.url) else None)
    try:
        yield page
        assert not wrong, "\n".join(wrong)
    finally:
        context.close()


def _own(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "data:", "blob:", "about:"))


def looked_at(page: Page, name: str) -> None:
    """Keep a picture of the page, and hold it to axe-core: nothing serious."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)
    page.evaluate(AXE.read_text("utf-8"))
    asked = "axe.run(document, {resultTypes: ['violations']}).then((found) => JSON.stringify(found.violations))"
    grave = [one for one in json.loads(page.evaluate(asked)) if one["impact"] in ("serious", "critical")]
    told = [f"{one['id']}: {one['help']}: {node['html'][:160]} ({node.get('failureSummary', '')[:200]})"
            for one in grave for node in one["nodes"][:2]]  # fmt: skip
    assert not grave, f"{name}:\n" + "\n".join(told)
