"""What a search may change: fields of the plan, each with choices or a range, read from JSON and checked at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.data.plan import Plan
from potency.errors import PlanError

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

FIXED = ("task", "classes", "channels", "seed")  # with another question, or other luck, scores could not be compared
RANGE = {"low", "high", "log", "step"}
DEFAULT: Mapping[str, Any] = {
    "rate": {"low": 3e-4, "high": 1e-2, "log": True},
    "decay": {"low": 0.005, "high": 0.5, "log": True},
    "dropout": {"low": 0.0, "high": 0.5},
    "smoothing": [0.0, 0.05, 0.1],
    "balance": [0.0, 0.5, 1.0],
}


@dataclass(frozen=True)
class Space:
    """Name of a plan's field -> a list of choices, or {"low", "high"} with "log" or "step".

    A name with a dot is one entry of a field that is a mapping: "augment.noise". Choices may be anything the field
    may be: networks by name, tiles, whole lists of members.

    >>> space = Space({"rate": {"low": 0.001, "high": 0.01, "log": True}, "network": ["tiny", "resnet18"]})
    >>> space.refuse(Plan())
    """

    axes: Mapping[str, Any] = field(default_factory=lambda: DEFAULT)

    @classmethod
    def read(cls, path: Path | None) -> Space:
        """The space in a JSON file; the default one without a file."""
        if path is None:
            return cls()
        try:
            axes = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise PlanError(f"the space cannot be read: {error}", str(path), "see `potency search --help`") from error
        if not isinstance(axes, dict) or not axes:
            raise PlanError("a space is a JSON object of names and choices", str(path), 'like {"dropout": [0.0, 0.2]}')
        return cls(axes)

    def refuse(self, plan: Plan) -> None:
        """PlanError for a name the plan does not have, an axis that is none, or a value that no plan may have."""
        for name, axis in self.axes.items():
            where = f"space, {name!r}"
            if name in FIXED:
                raise PlanError(f"{name} is not to be searched", where, "trials must answer the same question")
            if isinstance(axis, Mapping):
                numbers = [axis.get(end) for end in ("low", "high")]
                if set(axis) - RANGE or any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
                    raise PlanError(f"{dict(axis)!r} is no range", where, 'write it like {"low": 0, "high": 0.5}')
                low, high = map(float, numbers)  # type: ignore[arg-type]
                if not low < high or (axis.get("log") and low <= 0) or (axis.get("log") and "step" in axis):
                    raise PlanError(f"{dict(axis)!r} is no range", where, "low below high; log: above 0, no step")
                values = numbers
            elif isinstance(axis, list | tuple) and axis:
                values = list(axis)
            else:
                raise PlanError(f"{axis!r} is neither choices nor a range", where, 'write it like ["tiny", "resnet18"]')
            for value in values:
                applied(plan, {name: value})

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """A value for each name."""
        made: dict[str, Any] = {}
        for name, axis in self.axes.items():
            if not isinstance(axis, Mapping):
                made[name] = json.loads(str(trial.suggest_categorical(name, [json.dumps(value) for value in axis])))
                continue
            whole = isinstance(axis["low"], int) and isinstance(axis["high"], int)
            number: Callable[..., float] = trial.suggest_int if whole else trial.suggest_float
            more = {"step": axis["step"]} if "step" in axis else {}
            made[name] = number(name, axis["low"], axis["high"], log=bool(axis.get("log")), **more)
        return made

    def own(self, plan: Plan) -> dict[str, Any]:
        """What `suggest` would have to say to give this very plan, as far as it can: where a search begins."""
        found: dict[str, Any] = {}
        for name, axis in self.axes.items():
            entry, _, part = name.partition(".")
            value = plan.json()[entry]
            value = value.get(part) if part else value
            if isinstance(axis, Mapping):
                if isinstance(value, int | float) and axis["low"] <= value <= axis["high"] and "step" not in axis:
                    found[name] = value
                continue
            same = [each for each in axis if applied(plan, {name: each}) == plan]
            found |= {name: json.dumps(same[0])} if same else {}
        return found


def applied(plan: Plan, values: Mapping[str, Any]) -> Plan:
    """The plan with these values; dotted names change one entry of a mapping.

    >>> applied(Plan(augment={"flip": 1.0}), {"augment.noise": 0.1, "batch": 8}).augment
    {'flip': 1.0, 'noise': 0.1}
    """
    changed: dict[str, Any] = {}
    for name, value in values.items():
        entry, dot, part = name.partition(".")
        if not dot:
            changed[entry] = value
            continue
        whole = changed.get(entry, getattr(plan, entry, {}))
        if not isinstance(whole, Mapping):
            raise PlanError(f"{entry} has no entries", f"space, {name!r}", f"name it {entry!r}")
        changed[entry] = {**whole, part: value}
    return plan.but(**changed)
