"""Count: how many objects an image holds, by a density map whose sum is their number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from potency.answers import Density
from potency.answers.answer import Answer
from potency.data.plan import Plan
from potency.tasks.listed import Listed
from potency.tasks.task import Sample

WHOLE = 0.1  # weight of the error of the whole crop's count beside that of each pixel


class Count(Listed):
    """How many objects there are, also where they lie too close to be told apart.

    The network gives a density whose sum over any part of the image is how many objects are there (Lempitsky 2010):
    each is one Gaussian of `settings.spread` px, drawn after the image was moved. Classes are counted together.
    """

    name = "count"
    title = "how many objects an image holds, by a density map (points or boxes as truth)"
    answer = Density
    usual: ClassVar[Mapping[str, object]] = {**Listed.usual, "network": "unet"}

    def outputs(self, plan: Plan) -> int:
        return 1

    def around(self, plan: Plan, truths: Sequence[Answer]) -> float:
        return 0.0

    def prepare(self, plan: Plan, truths: Sequence[Answer]) -> Plan:
        plan = super().prepare(plan, truths).but(classes=())
        spread = float(np.clip(plan.settings["near"] / 4, 1.0, 8.0))
        return plan.but(settings={"spread": spread, **plan.settings})

    def places(self, truth: Answer, plan: Plan) -> NDArray[np.float64]:
        """The middles: an object that a crop cuts is in it or not, or crops together would hold more than the image."""
        found = super().places(truth, plan)
        judged = found[:, 4] >= 0
        middle = (found[judged, :2] + found[judged, 2:4]) / 2
        found[judged, :4] = np.concatenate([middle, middle], axis=1)
        return found

    def target(self, drawn: NDArray[Any], plan: Plan) -> Sample:
        """The density times the area of a Gaussian, so that a lone object reaches 1, of `places` (n, 5) in a crop."""
        spread, size = plan.settings["spread"], plan.tile
        found = np.zeros(size, np.float32)
        reach = int(np.ceil(3 * spread))
        for top, left, bottom, right, kind in drawn:
            y, x = (top + bottom) / 2 - 0.5, (left + right) / 2 - 0.5
            if kind < 0 or not (-0.5 <= y < size[0] - 0.5 and -0.5 <= x < size[1] - 0.5):
                continue
            rows, columns = (_around(at, reach, side) for at, side in zip((y, x), size, strict=True))
            # Each axis adds up to one inside the crop, so that no object is counted in part.
            down, across = (np.exp(-((axis - at) ** 2) / (2 * spread**2)) for axis, at in ((rows, y), (columns, x)))
            own = np.outer(down / down.sum(), across / across.sum())
            found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += own
        return {"density": found * np.float32(_area(plan)), "judged": self._judged(drawn, plan)}

    def _judged(self, drawn: NDArray[Any], plan: Plan) -> NDArray[np.float32]:
        judged = np.ones(plan.tile, np.float32)
        for top, left, bottom, right, _ in drawn[drawn[:, 4] < 0]:
            judged[max(0, int(top)) : int(np.ceil(bottom)), max(0, int(left)) : int(np.ceil(right))] = 0
        return judged

    def losses(self, nets: nn.ModuleDict, batch: Mapping[str, Tensor], plan: Plan) -> Iterator[tuple[str, Tensor]]:
        """Squared error of each pixel by the mean of the truth, and the error of each crop's count by its root."""
        apart = (self.forward(nets, batch)["output"].float()[:, 0] - batch["density"]) * batch["judged"]
        told = (batch["density"] * batch["judged"]).sum((1, 2)) / _area(plan)
        pixels = apart.square().sum() / (told.sum().clamp(min=1) * _area(plan))
        counts = apart.sum((1, 2)) / _area(plan)
        yield "net", pixels + WHOLE * (counts.square() / told.clamp(min=1)).mean()

    def decode(self, output: Mapping[str, NDArray[np.float32]], plan: Plan) -> Density:
        """ "output" (1, H, W) as objects a pixel."""
        return Density(values=np.asarray(output["output"][0] / _area(plan), np.float32))


def _area(plan: Plan) -> float:
    return float(2 * np.pi * plan.settings["spread"] ** 2)


def _around(at: float, reach: int, side: int) -> NDArray[np.intp]:
    middle = round(at)
    return np.arange(max(0, middle - reach), min(side, middle + reach + 1))
