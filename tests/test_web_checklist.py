"""The checklist of docs/web-security.md: every line of it is held by a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

from potency.web.settings import Limits

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "web-security.md"


def test_every_item_of_the_checklist_has_a_test() -> None:
    text = PAGE.read_text("utf-8").partition("## Checklist")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    sources = "\n".join(path.read_text("utf-8") for path in TESTS.glob("test_web*.py"))
    written = set(re.findall(r"^def (test_\w+)", sources, re.M))
    assert len(rows) > 40
    for item, how, tests in rows[2:]:
        named = re.findall(r"`(test_\w+)`", tests)
        assert item and how and named, item
        assert not set(named) - written, f"{item}: {set(named) - written}"


def test_the_page_names_every_limit() -> None:
    table = PAGE.read_text("utf-8").partition("## Limits")[2]
    assert not [name for name in Limits.__dataclass_fields__ if not re.search(rf"\b{name}\b", table)]
