"""The plan: every decision of a training, computed from facts of the data, shown as JSON, kept in the bundle."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from potency.data.facts import LARGEST_TILE, Facts, span
from potency.data.tiles import FITTINGS, LEVELS, sides
from potency.errors import PlanError, nearest

__all__ = ["Facts", "Plan", "span"]

PASSES = 20  # over the rows; twice as many cost twice the time and gain about a point of accuracy (docs/results.md)
FEWEST_STEPS, MOST_STEPS = 300, 4000
TOLD = ("network", "steps")  # what a member always says of itself
DEEPEST = 2  # an ensemble may hold an estimator that stands on networks; nobody means more than that


@dataclass(frozen=True)
class Plan:
    """All decisions of one training; a config is a call, so every field is also an argument of `Plan.of`."""

    task: str = "classify"
    channels: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()  # their order is the order of every probability column
    pixel_size: float | None = None  # um; None: unknown, images are used as they come
    tile: tuple[int, int] = (64, 64)  # height and width in px of what the network sees; one number is a square
    # What makes a crop of another size fit: "pad" with background; "stretch": resized, and its size is lost; "extend":
    # continued by its mirror image below and to the right, where answers lie on the pixels.
    fitting: str = "pad"
    halo: int | None = None  # px of context a side; None: a global network on a fixed grid
    closer: float = 0.0  # px: images whose median object is smaller are predicted at twice their size; 0: none
    scaling: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # channel -> values mapped to 0 and 1
    scale_by: str = "set"  # or "image": before that, each image by its own percentiles 0.2 and 99.8, seen on all of it
    level: str = "none"  # or "mean": every crop less its own mean; "patch": and its own deviation made a fixed one
    learner: str = "gradient"  # or "estimator": features and a classical model; "average": an ensemble; "rule"
    network: str = "tiny"  # or the name of the estimator or rule
    decoder: str = ""  # how maps become objects, a name of `DECODERS`; "": the task's own way
    families: tuple[str, ...] = ()  # measured features of an estimator; (): its own, or none beside embeddings
    # Networks it stands on, each by what differs from this plan: an estimator learns on their embeddings side by
    # side, an average joins their answers. Weights that are a bundle's folder bring its network, tile and scaling.
    members: tuple[Mapping[str, Any], ...] = ()
    weights: str | None = None  # None: from scratch; "imagenet"; a bundle's folder; or a local safetensors file
    normalise: str = "half"  # what the network expects of values scaled to 0..1, see networks/backbones; half: -1..1
    steps: int = 1500
    batch: int = 64
    devices: int = 1  # processes that learn together, each with a batch of its own: together batch x devices
    accumulate: int = 1  # batches added up before one step of the optimiser
    rate: float = 3e-3  # peak learning rate (AdamW), after warm-up, before cosine decay
    warmup: float = 0.1  # share of the steps
    decay: float = 0.05  # weight decay; never on biases and norms
    average: float = 0.995  # decay of the moving average of the weights (0: none)
    smoothing: float = 0.05  # label smoothing
    balance: float = 0.5  # 0: samples as they come; 1: every class equally often
    dropout: float = 0.2
    freeze: float = 0.0  # share of the steps in which only the head learns
    patience: int = 0  # validations without gain before an early stop (0: never)
    validations: int = 10  # how often the validation rows are predicted and evaluated
    symmetries: int = 8  # that change no answer: 8 flips and turns, 4 no quarter turns, 2 the mirror, 1 none
    test_views: int = 8  # how many of them are averaged at prediction, each at the price of one (1, 2, 4 or 8)
    precision: str = "float32"  # of learning; or "bfloat16", or "float16" on a GPU (autocast)
    augment: Mapping[str, float] = field(default_factory=dict)  # name -> strength, see learning/augment
    mix: Mapping[str, float] = field(default_factory=dict)  # mixup, cutmix -> alpha, see learning/mix
    seed: int = 0
    settings: Mapping[str, float] = field(default_factory=dict)  # thresholds and the like, tuned on validation rows

    def __post_init__(self) -> None:
        object.__setattr__(self, "tile", sides(self.tile))

    @classmethod
    def of(cls, facts: Facts, /, **changes: object) -> Plan:
        """Compute a plan from facts of the data; `changes` override any field by name.

        >>> facts = Facts(1000, ("phase",), 61, None, {"phase": (0.0, 255.0)}, ("a", "b"))
        >>> Plan.of(facts, seed=3).tile
        (64, 64)
        """
        side = min(LARGEST_TILE, max(16, -(-facts.side // 8) * 8))
        batch = int(np.clip(facts.rows // 8, 8, 64))
        plan = cls(
            channels=facts.channels,
            classes=facts.classes,
            pixel_size=facts.pixel_size,
            tile=(side, side),
            scaling=dict(facts.scaling),
            batch=batch,
            steps=int(np.clip(PASSES * facts.rows / batch, FEWEST_STEPS, MOST_STEPS)),
        )
        return plan.but(**changes)

    def but(self, /, **changes: object) -> Plan:
        """The same plan with some fields changed; an unknown name is refused and the nearest named."""
        known = {f.name: f for f in fields(self)}
        faults = [f"{name!r} ({nearest(name, known)})" for name in changes if name not in known]
        if faults:
            raise PlanError("the plan has no " + ", ".join(faults), "plan", "use the names that `potency plan` prints")
        typed: dict[str, Any] = {name: _typed(name, value, getattr(self, name)) for name, value in changes.items()}
        plan = replace(self, **typed)
        plan._refuse_impossible()
        return plan

    def member_plans(self, **unless_said: object) -> tuple[Plan, ...]:
        """The whole plans of its members: this plan, by gradient and from scratch, with what each says of itself.

        >>> Plan(learner="estimator", network="forest").but(members=["resnet18@45x60"]).member_plans(steps=0)[0].tile
        (45, 60)
        """
        base = replace(self._base(), **unless_said)  # type: ignore[arg-type]
        return tuple(base.but(**own) for own in self.members)

    @property
    def window(self) -> tuple[int, int]:
        """Height and width that hold the crop of every member; each cuts its own out of the middle."""
        tiles = [self.tile, *(own.window for own in self.member_plans())]
        return max(high for high, _ in tiles), max(wide for _, wide in tiles)

    def of_members(self, plans: Sequence[Plan]) -> Plan:
        """This plan standing on these ones, each kept by its network, its steps and what differs from this plan."""
        base = {f.name: getattr(self._base(), f.name) for f in fields(self)}
        told = [
            {name: now for name, old in base.items() if (now := getattr(plan, name)) != old or name in TOLD}
            for plan in plans
        ]
        return self.but(members=told)

    def _base(self) -> Plan:
        return replace(self, learner="gradient", network=Plan.network, weights=None, families=(), members=())

    def _refuse_impossible(self) -> None:
        limits = {
            "tile": min(self.tile) >= 8, "steps": self.steps >= 0, "batch": self.batch >= 1,
            "accumulate": self.accumulate >= 1, "devices": self.devices >= 1,
            "rate": 0 < self.rate < math.inf, "warmup": 0 <= self.warmup < 1,
            "average": 0 <= self.average < 1, "smoothing": 0 <= self.smoothing < 1, "balance": 0 <= self.balance <= 1,
            "dropout": 0 <= self.dropout < 1, "freeze": 0 <= self.freeze <= 1, "validations": self.validations >= 1,
            "symmetries": self.symmetries in (1, 2, 4, 8), "test_views": self.test_views in (1, 2, 4, 8),
            "precision": self.precision in ("float32", "bfloat16", "float16"), "decay": 0 <= self.decay < math.inf,
            "pixel_size": self.pixel_size is None or 0 < self.pixel_size < math.inf,
            "scaling": all(-math.inf < low < high < math.inf for low, high in self.scaling.values()),
            "halo": self.halo is None or self.halo >= 0, "closer": 0 <= self.closer < math.inf,
            "seed": 0 <= self.seed < 2**32,
            "augment": all(0 <= strength < math.inf for strength in self.augment.values()),
            "settings": all(map(math.isfinite, self.settings.values())), "fitting": self.fitting in FITTINGS,
            "level": self.level in LEVELS, "scale_by": self.scale_by in ("set", "image"),
        }  # fmt: skip
        faults = [f"{name} = {getattr(self, name)!r}" for name, fine in limits.items() if not fine]
        if faults:
            raise PlanError("the plan has impossible values: " + "; ".join(faults), "plan", "see `potency plan --help`")
        self.member_plans()

    def ranges(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The scaling as an array (C, 2) in the order of the channels."""
        missing = [c for c in self.channels if c not in self.scaling]
        if missing:
            raise PlanError(f"no scaling for channel {missing[0]!r}", "plan.scaling", "give it a [low, high] pair")
        return np.array([self.scaling[c] for c in self.channels], np.float32)

    def json(self) -> dict[str, Any]:
        """The plan as plain JSON values, in the order of its fields."""
        return dict(json.loads(json.dumps(asdict(self))))

    @classmethod
    def read(cls, source: Path | Mapping[str, Any]) -> Plan:
        """Read a plan written by `potency plan`; unknown keys and wrong types are refused."""
        where = str(source) if isinstance(source, Path) else "plan"
        values: Any = source
        if isinstance(source, Path):
            try:
                values = json.loads(source.read_text(encoding="utf-8-sig"))
            except (OSError, ValueError, RecursionError) as error:
                raise PlanError(f"the plan cannot be read: {error}", where, "write one with `potency plan`") from error
        if not isinstance(values, Mapping):
            raise PlanError("a plan is a JSON object of names and values", where, "write one with `potency plan`")
        try:
            return cls().but(**values)
        except PlanError as error:
            raise PlanError(error.what, where, error.mend) from error


def _typed(name: str, value: Any, old: object) -> object:
    """Bring a JSON or command-line value to the field's type, or say which type it must have."""
    try:
        if name == "tile":
            return _tile(value)
        if name == "members":
            return tuple(_member(own) for own in _listed(value))
        if isinstance(old, tuple):
            return tuple(str(v) for v in _listed(value))
        if name == "scaling":
            return {str(k): (float(v[0]), float(v[1])) for k, v in dict(value).items()}
        if isinstance(old, Mapping):
            return {str(k): float(v) for k, v in dict(value).items()}
        if name in ("pixel_size", "halo"):
            return None if value is None else (float if name == "pixel_size" else int)(value)
        if name == "weights":
            return None if value is None else str(value)
        if isinstance(old, int) and (isinstance(value, bool) or float(value) != int(value)):
            raise TypeError("a whole number is needed")
        return type(old)(value)  # type: ignore[call-arg]
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise PlanError(f"{name} = {value!r} does not fit: {error}", "plan", f"a value like {old!r}") from error


def _tile(value: Any) -> tuple[int, int]:
    """A size as plans and people write it.

    >>> _tile(64), _tile([45, 60]), _tile("45x60")
    ((64, 64), (45, 60), (45, 60))
    """
    parts = value.lower().split("x") if isinstance(value, str) else [value] if isinstance(value, int | float) else value
    numbers = [int(part) for part in parts]
    if len(numbers) not in (1, 2) or any(isinstance(p, bool) or float(p) != int(p) for p in parts):
        raise ValueError("one whole number, or height and width, is needed")
    return sides((numbers[0], numbers[-1]))


def _listed(value: Any) -> Sequence[Any]:
    if isinstance(value, str | Mapping):
        raise TypeError("a list is needed")
    return list(value)


def _member(value: Any) -> Mapping[str, Any]:
    """What one member says of itself, typed: a network's name, with its crop after an @, or a mapping of fields.

    >>> _member("vgg19@45x60")
    {'network': 'vgg19', 'tile': (45, 60)}
    """
    if isinstance(value, str):
        network, at, size = value.partition("@")
        value = {"network": network} | ({"tile": size} if at else {})
    if _depth(value) > DEEPEST:
        raise ValueError(f"members of members go at most {DEEPEST} deep")
    typed = Plan().but(**{str(k): v for k, v in dict(value).items()})
    return {str(name): getattr(typed, str(name)) for name in value}


def _depth(value: Any) -> int:
    """How deep members stand in members; a loop, because a hostile card may nest them very deeply."""
    level, depth = [value], 0
    while level:
        depth += 1
        level = [m for each in level if isinstance(each, Mapping) and not isinstance(each.get("members", ()), str)
                 for m in each.get("members", ())]  # fmt: skip
    return depth
