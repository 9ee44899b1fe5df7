"""The example bundles inside the package: small models that answer offline, each labelled with what it learned from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from potency.bundle.card import Card
from potency.errors import BundleError, nearest

SCHEME = "example:"
HERE = Path(__file__).parent / "examples"


def shipped() -> dict[str, Path]:
    """The folder of every example by its name."""
    return {path.parent.name: path.parent for path in sorted(HERE.glob("*/card.json"))}


def labels() -> dict[str, dict[str, Any]]:
    """What the card of every example says of the images it learned from: title, about, licence, simulated, recipe."""
    return {name: dict(Card.read(folder / "card.json").data) for name, folder in shipped().items()}


def located(bundle: str | Path) -> Path:
    """The folder of a bundle; `example:NAME` is one inside the package.

    Raises:
        BundleError: there is no such example; the nearest is named.
    """
    name = str(bundle)
    if not name.startswith(SCHEME):
        return Path(bundle)
    there = shipped()
    short = name.removeprefix(SCHEME)
    if short not in there:
        raise BundleError(f"there is no example {short!r}", "the bundles in the package", nearest(short, there))
    return there[short]
