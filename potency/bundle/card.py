"""The card of a bundle: what was learned, from what, how well, and how far to trust it, as plain JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from potency import __version__
from potency.answers.answer import Trust
from potency.data.plan import Plan
from potency.errors import BundleError

SCHEMA = 2
PLAIN = 1  # of a card whose trust is single numbers, as older versions can read it
CARD = "card.json"  # in the folder of a bundle
LARGEST = 16 * 2**20  # bytes; a card is a page of text, not a place to hide things


@dataclass(frozen=True)
class Card:
    """What a bundle says of itself.

    Attributes:
        task: name in `TASKS`.
        plans: one for each member of the ensemble.
        trust: small numbers, and short rows of them, applied after decoding; see `Answer.calibrated`.
        data: fingerprint of the manifest, rows, groups, where its groups came from, whether simulated.
        validation: figures of the protocol that made it, {"split": ..., "metrics": {name: {value, low, high}}}.
        version: of potency, when it was written.
        answer: kind of answer that the task gives, for lists of models; "" in cards of older versions.
    """

    task: str
    plans: tuple[Plan, ...]
    trust: Trust = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    validation: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__
    answer: str = ""

    @property
    def plan(self) -> Plan:
        """The plan of the first member: classes, channels and pixel size are the same in all."""
        return self.plans[0]

    def json(self) -> dict[str, Any]:
        """The card as `card.json` holds it."""
        rows = any(not isinstance(value, int | float) for value in self.trust.values())
        return {
            "schema": SCHEMA if rows else PLAIN, "potency": self.version, "task": self.task, "answer": self.answer,
            "members": [{"plan": plan.json()} for plan in self.plans],
            "trust": dict(self.trust), "data": dict(self.data), "validation": dict(self.validation),
        }  # fmt: skip

    @classmethod
    def read(cls, path: Path) -> Card:
        """Read `card.json`.

        Raises:
            BundleError: missing, damaged, or of a newer schema.
        """
        try:
            if path.stat().st_size > LARGEST:
                raise BundleError(
                    f"the card is larger than {LARGEST // 2**20} MB", str(path), "this is no card of ours"
                )
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise BundleError(
                "the bundle has no card", str(path), "give the folder that `potency train` wrote"
            ) from error
        except (OSError, ValueError, RecursionError) as error:
            raise BundleError(f"the card cannot be read: {error}", str(path), "copy the bundle again") from error
        if not isinstance(values, dict) or not isinstance(values.get("schema"), int):
            raise BundleError(
                "the card is not one of a bundle", str(path), "give the folder that `potency train` wrote"
            )
        if values["schema"] > SCHEMA:
            version = values.get("potency", "a newer version")
            raise BundleError(
                f"the bundle was written by potency {version} (schema {values['schema']}, known up to {SCHEMA})",
                str(path), 'pip install --upgrade "potency"',
            )  # fmt: skip
        try:
            plans = tuple(Plan.read(member["plan"]) for member in values["members"])
            trust = {str(k): _numbers(v) for k, v in values["trust"].items()}
            made = cls(str(values["task"]), plans, trust, dict(values["data"]), dict(values["validation"]),
                       str(values["potency"]), str(values.get("answer", "")))  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"the card lacks or garbles {error}", str(path), "copy the bundle again") from error
        if not made.plans:
            raise BundleError("the card names no member", str(path), "copy the bundle again")
        return made


def _numbers(value: Any) -> float | list[float]:
    """A finite number or a row of them."""
    found = [float(each) for each in (value if isinstance(value, list) else [value])]
    if not all(map(math.isfinite, found)) or not found:
        raise ValueError(f"trust: {value!r} is no finite number")
    return found if isinstance(value, list) else found[0]
