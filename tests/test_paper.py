"""Pages: one head and one opening for all of them, scripts only where a page has one."""

from __future__ import annotations

import re
from html import unescape
from importlib import resources
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from potency.evaluation import trust
from potency.evaluation.paper import printed

HOME = Path(str(resources.files("potency")))
WEB = HOME / "web"
PAGES = sorted(p.relative_to(HOME).as_posix() for p in HOME.rglob("*.html") if not p.is_relative_to(WEB))
SHARED = ["evaluation/base.html", "evaluation/parts.html"]
EARLY = {"title": "A <title>", "subtitle": "of what", "plots": (), "tables": {}, "lines": ()}


def test_every_page_extends_the_one_head() -> None:
    assert len(PAGES) > 10 and set(SHARED) < set(PAGES)
    for page in set(PAGES) - set(SHARED):
        text = (HOME / page).read_text("utf-8")
        assert re.match(r'\{% extends "[\w/]+\.html" %\}\n', text), page
        assert not re.search(r"<!doctype|<head|<meta|<title|page\.css|class=\"headline\">\{\{ verdict", text), page


def test_every_page_of_the_web_tool_extends_its_own_head() -> None:
    templates = {p: p.read_text("utf-8") for p in WEB.rglob("*.html") if p.name != "base.html"}
    assert len(templates) > 30
    for page, text in templates.items():
        assert not re.search(r"<!doctype|<head|<meta|<script>|<style| style=\"| on\w+=\"", text), page
        assert text.startswith('{% extends "base.html" %}\n') == ("{% block main %}" in text), page


def test_a_page_opens_with_banners_and_verdict_and_refuses_what_its_template_does_not_know() -> None:
    text = printed("timing/early.html", **EARLY, verdict="It is.", mark="bad", simulated=True, banners=["mind"])
    assert "<title>A &lt;title&gt;</title>" in text and "<h1>A &lt;title&gt;</h1>" in text
    assert re.findall(r'role="note">(.*?)</p>', text) == [trust.SIMULATED, "mind"]
    assert f'aria-label="bad">{trust.MARKS["bad"]}</span> It is.</p>' in text and "Written by potency" in text
    plain = printed("timing/early.html", **EARLY)
    assert 'class="headline"' not in plain and 'role="note"' not in plain
    with pytest.raises(UndefinedError, match="subtitle"):
        printed("timing/early.html", **{name: part for name, part in EARLY.items() if name != "subtitle"})


def test_scripts_run_only_on_pages_that_have_one_and_files_are_read_only_where_they_lie_beside() -> None:
    def policy(text: str) -> str:
        return unescape(re.findall(r'Content-Security-Policy" content="(.*?)"', text)[0])

    assert policy(printed("timing/early.html", **EARLY)) == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    )
    maps = printed("explanation/contributed.html", title="t", subtitle="s", method="m", width="9rem", folder="bars",
                   plots=(), cards=(), left=0, failed=0)  # fmt: skip
    assert policy(maps) == "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'"
    asked = printed("evaluation/reading.html", title="t", subtitle="s", shown=[], classes=["a"], study="x")
    assert policy(asked).endswith("; script-src 'unsafe-inline'") and asked.count("<script>") == 1
