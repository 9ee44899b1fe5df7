"""The bundles inside the package: models to work with, by their bare name, and small examples, as `example:NAME`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from potency.bundle.card import CARD, Card
from potency.errors import BundleError, nearest

HERE = Path(__file__).parent
SCHEME, FIRST = "example:", "nuclei"
SHELVES: Mapping[str, Path] = {"": HERE / "models", SCHEME: HERE / "examples"}  # what stands before a name there


def shipped(scheme: str) -> dict[str, Path]:
    """The folder of every bundle of a shelf by its name; "" is the shelf of models, `SCHEME` that of examples.

    `FIRST` comes first: it is what is chosen where nobody chooses.
    """
    there = sorted((path.parent for path in SHELVES[scheme].glob(f"*/{CARD}")), key=lambda at: (at.name != FIRST, at))
    return {folder.name: folder for folder in there}


def labels(scheme: str) -> dict[str, dict[str, Any]]:
    """What the card of every bundle of a shelf says of its images: title, about, licence, simulated, recipe."""
    return {name: dict(Card.read(folder / CARD).data) for name, folder in shipped(scheme).items()}


def located(bundle: str | Path) -> Path:
    """The folder of a bundle: one on disk, else the model of that name in the package; `example:NAME` is an example.

    Raises:
        BundleError: there is no such example; the nearest is named.
    """
    name = str(bundle)
    scheme = SCHEME if name.startswith(SCHEME) else ""
    short, there = name.removeprefix(scheme), shipped(scheme)
    if not scheme and (Path(name) / CARD).is_file():
        return Path(bundle)
    if short in there:
        return there[short]
    if scheme:
        raise BundleError(f"there is no example {short!r}", "the bundles in the package", nearest(short, there))
    return Path(bundle)
