"""Drawings of the reports for pages whose policy refuses styles inside an element."""

from __future__ import annotations

import re
from html import escape

KEPT = re.compile(r"[a-z-]+")


def attributed(svg: str) -> str:
    """An SVG whose styles are attributes of their own, which a strict policy allows and which mean the same.

    >>> attributed('<g><path d="M0 0" style="fill: none; stroke: var(--ink)"/></g>')
    '<g><path d="M0 0" fill="none" stroke="var(--ink)"/></g>'
    """

    def spread(match: re.Match[str]) -> str:
        pairs = [part.partition(":") for part in match[1].split(";") if ":" in part]
        return "".join(f' {name.strip()}="{escape(value.strip())}"' for name, _, value in pairs
                       if KEPT.fullmatch(name.strip()) and name.strip() != "max-width")  # fmt: skip

    return re.sub(r'\s+style="([^"]*)"', spread, svg)
