"""The work behind bringing a model: a bundle that was uploaded is held to all that a bundle must be, then shelved."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from potency.bundle.card import CARD, Card
from potency.errors import BundleError, PotencyError
from potency.web.bringing import waiting
from potency.web.work.kind import Kind, Order

MEMORY = 4 * 2**30  # bytes that a model may take beyond what the worker has: a card can ask for any size


def run(order: Order) -> Mapping[str, Any]:
    """Load the bundle and let it answer its own examples; only then it stands on the shelf."""
    id = str(order.arguments["brought"])
    title, place, folder = order.arguments["called"], waiting(order.store, id), order.store.place("models", id)
    if not folder.is_dir():  # it is where a worker was killed between the last two steps
        if not place.is_dir():
            raise BundleError("the files of the model are gone", title, "bring them again")
        order.progress(0, 2, "reading the card")
        plain(place / CARD)
        order.progress(1, 2, "loading the model and asking it about its examples")
        from potency.bundle import Bundle

        try:
            with bounded(MEMORY):
                Bundle.load(place)
        except PotencyError as error:
            where = Path(error.where).name.replace(place.name, "") or "the bundle"
            raise BundleError(error.what.replace(str(place), "the bundle"), where, error.mend) from None
        place.replace(folder)
    card = Card.read(folder / CARD)
    if id not in [model.id for model in order.shelf.all()]:
        order.shelf.put(id, title)
    return {"model": id, "task": card.task, "classes": list(card.plan.classes),
            "simulated": bool(card.data.get("simulated"))}  # fmt: skip


def plain(path: Path) -> None:
    """See that the texts of a card are texts and its figures finite: pages show it without asking again.

    Raises:
        BundleError: it is not.
    """

    def refuse(sign: str) -> float:
        raise ValueError(f"{sign} is no number")

    try:
        card = json.loads(path.read_text("utf-8"), parse_constant=refuse)
        data, metrics = card["data"], card["validation"].get("metrics", {})
        for name in ("title", "about", "licence"):
            if not isinstance(data.get(name, ""), str):
                raise ValueError(f"data.{name} is no text")
        for name, figure in metrics.items():
            wrong = [part for part in ("value", "low", "high") if not isinstance(figure.get(part), int | float | None)]
            if wrong or figure.get("value") is None:
                raise ValueError(f"validation.metrics.{name} is no figure")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = str(error) if isinstance(error, ValueError | RecursionError) else "a part of it is missing"
        raise BundleError(f"the card cannot be read: {re.sub(r'[^ -~]', '?', what)[:200]}", "card.json",
                          "bring the bundle as `potency train` wrote it") from None  # fmt: skip


@contextlib.contextmanager
def bounded(count: int) -> Iterator[None]:
    """Let this process take only so many bytes more, where the system can be asked for that (Linux)."""
    try:
        import resource

        taken = next(line for line in Path("/proc/self/status").read_text("utf-8").splitlines() if "VmData" in line)
        before = resource.getrlimit(resource.RLIMIT_DATA)
        most = int(taken.split()[1]) * 1024 + count
        hard = before[1]
        resource.setrlimit(resource.RLIMIT_DATA, (most if hard < 0 else min(most, hard), hard))
    except (ImportError, OSError, StopIteration, ValueError):
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


KIND = Kind("bring", "Bring a model", "work/bring.html", run)
