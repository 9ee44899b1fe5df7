"""Bundles that a worker has loaded: the next job with the same model need not load it again."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from potency.bundle import Bundle

KEPT = 4
_LOADED: OrderedDict[tuple[str, float], Bundle] = OrderedDict()


def loaded(folder: Path) -> Bundle:
    """The bundle of a folder, as it lies there now."""
    from potency.bundle import Bundle

    key = (str(folder), (folder / "card.json").stat().st_mtime)
    if key not in _LOADED:
        _LOADED[key] = Bundle.load(folder)
        if len(_LOADED) > KEPT:
            _LOADED.popitem(last=False)
    _LOADED.move_to_end(key)
    return _LOADED[key]
