"""What tasks share whose truth is a list of points or boxes: its classes, sizes and distances go into the plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from potency.answers import Objects
from potency.answers.answer import Answer
from potency.answers.objecttable import CLASS, CROWD, classes_of, codes
from potency.data.plan import Plan
from potency.errors import PlanError, nearest
from potency.tasks.dense import Dense
from potency.tasks.task import Sample

USUAL = 16.0  # px between objects of images that hold one each


class Listed(Dense):
    """Base of tasks whose truth is points or boxes: what their `Objects` say goes into plan and `places`."""

    listed: ClassVar[bool] = True

    def encode(self, truth: Answer, plan: Plan) -> Sample:
        return self.target(self.places(truth, plan), plan)

    def places(self, truth: Answer, plan: Plan) -> NDArray[np.float64]:
        assert isinstance(truth, Objects)
        edges = truth.edges()
        kinds = np.zeros(len(truth.table))
        if plan.classes:
            if len(truth.table) and CLASS not in truth.table:
                raise PlanError("the objects of a row have no class, those of others have", "truth",
                                "give every object its class, or none")  # fmt: skip
            known = classes_of([truth.table])
            unknown = [name for name in known if name not in plan.classes]
            if unknown:
                raise PlanError(f"the class {unknown[0]!r} is not in the plan", "plan.classes",
                                nearest(unknown[0], plan.classes))  # fmt: skip
            kinds = codes(truth.table, plan.classes).astype(np.float64)
        kinds[np.asarray(truth.table.get(CROWD, np.zeros(len(truth.table))), bool)] = -1
        return np.column_stack([edges, kinds])

    def prepare(self, plan: Plan, truths: Sequence[Answer]) -> Plan:
        """Classes, sizes and distances of the objects in the truths, and then the halo."""
        if plan.fitting != "extend":
            raise PlanError(f"points and boxes are not learned from images made to fit by {plan.fitting!r}",
                            "plan.fitting", 'leave it as "extend"')  # fmt: skip
        tables = [truth for truth in truths if isinstance(truth, Objects) and len(truth.table)]
        if not tables:
            raise PlanError("no row to learn from has an object", "truth", "give the objects of some images")
        boxed = {truth.boxes for truth in tables}
        if len(boxed) > 1:
            raise PlanError("some rows have boxes, others points", "truth", "give all of them as boxes, or as points")
        settings = {**surroundings(tables), **plan.settings}
        classes = plan.classes or classes_of([truth.table for truth in tables])
        return super().prepare(plan.but(settings=settings, classes=classes), truths)


def surroundings(truths: Sequence[Objects]) -> dict[str, float]:
    """What a plan is to know of objects: whether they are boxes, their median and largest size, how near they are.

    `boxes` 0 or 1; `height`, `width` (median) and `largest` side in px, 0 of points; `near` the median distance of an
    object's centre to the next in px; `most` how many an image holds.
    """
    sides = np.concatenate([truth.edges()[:, 2:] - truth.edges()[:, :2] for truth in truths])
    near = [float(distance) for truth in truths for distance in _nearest(truth.centres())]
    height, width = np.median(sides, axis=0)
    return {
        "boxes": float(truths[0].boxes), "height": float(height), "width": float(width),
        "largest": float(sides.max()), "near": float(np.median(near)) if near else USUAL,
        "most": float(max(len(truth.table) for truth in truths)),
    }  # fmt: skip


def _nearest(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(centres) < 2:
        return np.empty(0)
    return np.asarray(cKDTree(centres).query(centres, 2)[0][:, 1], np.float64)
