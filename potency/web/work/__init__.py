"""The visible list of long work: each kind is one file here and one line below."""

from __future__ import annotations

from collections.abc import Mapping

from potency.web.work import answer, verbs
from potency.web.work.kind import Kind, Order

__all__ = ["KINDS", "Kind", "Order"]

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (answer.KIND, *verbs.KINDS)}
