"""Instances: every object with its outline, by maps that a decoder reads or by boxes with a mask inside each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, isna
from torch import Tensor, nn

from potency.answers import Labels
from potency.answers.answer import Answer
from potency.answers.category import as_label
from potency.answers.files import CLASS, UNCLASSIFIED
from potency.answers.objecttable import classes_of
from potency.data.folders import natural
from potency.data.plan import Plan
from potency.errors import PlanError, nearest
from potency.tasks.dense import VOID, Dense
from potency.tasks.outlining import way
from potency.tasks.task import Sample


class Instances(Dense):
    """Every object of an image and its outline: nuclei, cells, colonies.

    The plan's `decoder` says which maps the network gives and how they become objects; its thresholds are `settings`.
    Networks of `OUTLINED` need none: they find boxes, and a mask inside each. Where the objects of the truths have
    classes, every object found gets one too.
    """

    name = "instances"
    title = "every object with its outline (nuclei, cells, colonies)"
    answer = Labels
    usual: ClassVar[Mapping[str, object]] = {**Dense.usual, "decoder": "distance"}
    parts: ClassVar[Mapping[str, str]] = {"net": "outliner"}
    maps: ClassVar[tuple[str, ...]] = ("output", "labels")

    def outputs(self, plan: Plan) -> int:
        return sum(self.heads(plan))

    def heads(self, plan: Plan) -> tuple[int, ...]:
        return way(plan).heads(plan)

    def prepare(self, plan: Plan, truths: Sequence[Answer]) -> Plan:
        tables = [_seen(truth) for truth in truths]  # read once, and without their pixels
        if not any(len(truth.objects) for truth in tables):
            raise PlanError("no row to learn from has an object", "truth", "give the objects of some images")
        if not plan.classes:
            named = sorted(set().union(*(_classes(truth.objects) for truth in tables)), key=natural)
            plan = plan.but(classes=named if len(named) > 1 else ())
        plan = super().prepare(way(plan).prepare(plan, tables), tables)
        if plan.closer and (plan.halo is None or not way(plan).scales):
            where, mend = f"plan.closer, network {plan.network!r}", 'set network to "unet", or closer to 0'
            raise PlanError("`closer` needs maps, and a network of a finite halo", where, mend)
        return plan if plan.halo is not None else plan.but(halo=way(plan).halo(plan))

    def around(self, plan: Plan, truths: Sequence[Answer]) -> float:
        """What must be seen around the largest object of the truths."""
        largest = 0.0
        for truth in truths:
            assert isinstance(truth, Labels)
            box = truth.objects[[name for name in truth.objects if str(name).startswith("bbox-")]].to_numpy(float)
            half = box.shape[1] // 2
            largest = max(largest, float((box[:, half:] - box[:, :half]).max(initial=0)))
        return way(plan).around(plan, largest)

    def drawn(self, truth: Answer, plan: Plan) -> NDArray[Any]:
        """The number of the object at every pixel; with classes also that of its class."""
        assert isinstance(truth, Labels)
        pixels = truth.instances.astype(np.int32)
        if truth.ignore is not None:
            pixels[truth.instances == truth.ignore] = VOID
        return np.stack([pixels, _kinds(truth, plan.classes)]) if plan.classes else pixels[None]

    def target(self, drawn: NDArray[Any], plan: Plan) -> Sample:
        return way(plan).target(drawn, plan)

    def lessened(
        self, output: Mapping[str, NDArray[Any]], plan: Plan, times: int
    ) -> Mapping[str, NDArray[Any]]:
        return way(plan).lessened(output, plan, times)

    def losses(self, nets: nn.ModuleDict, batch: Mapping[str, Tensor], plan: Plan) -> Iterator[tuple[str, Tensor]]:
        yield "net", way(plan).loss(nets, batch, plan, self.forward)

    def trials(self, plan: Plan) -> Mapping[str, Sequence[float]]:
        return way(plan).trials(plan)

    def decode(self, output: Mapping[str, NDArray[Any]], plan: Plan) -> Labels:
        """The objects that the outputs for one image hold, each with its score, and with classes its class."""
        return way(plan).decode(output, plan)


def _seen(truth: Answer) -> Labels:
    assert isinstance(truth, Labels)
    return replace(truth, instances=np.zeros((0, 0), np.uint8))


def _classes(table: DataFrame) -> set[str]:
    """The classes of some objects; of those that nobody classified there is nothing to learn."""
    told = classes_of([table]) if CLASS in table.columns else ()
    return set(told) - {UNCLASSIFIED}


def _kinds(truth: Labels, classes: Sequence[str]) -> NDArray[np.int32]:
    """The place in `classes` of the object at every pixel, VOID where there is no object or its class is not known."""
    pixels = truth.known
    if CLASS not in truth.objects.columns:
        return np.full(pixels.shape, VOID, np.int32)
    place = {name: i for i, name in enumerate(classes)} | {UNCLASSIFIED: VOID}
    names = ["" if isna(name) else as_label(name) for name in truth.objects[CLASS]]
    for name in names:
        if name and name not in place:
            raise PlanError(f"the class {name!r} of an object is not in the plan", "plan.classes",
                            nearest(name, classes))  # fmt: skip
    numbers = np.concatenate([[0], truth.objects["label"].to_numpy(np.int64)])
    values = np.array([VOID, *(place.get(name, VOID) for name in names)], np.int32)
    order = np.argsort(numbers)
    return np.asarray(values[order][np.searchsorted(numbers[order], pixels)], np.int32)
