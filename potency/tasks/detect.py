"""Detect: every object as a point or a box with its class, by a heat map of centres and the size at each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame
from torch import Tensor, nn

from potency.answers import Objects
from potency.answers.answer import Answer
from potency.answers.metrics.ranked import MOST as RANKED
from potency.answers.objecttable import CLASS, SCORE, box, centre
from potency.data.plan import Plan
from potency.decoding.centres import boxes_apart, peaks
from potency.errors import PlanError
from potency.networks import ANCHORED, Anchored
from potency.networks.anchored import FAINT
from potency.tasks.dense import seen_whole
from potency.tasks.listed import Listed
from potency.tasks.outlining import LEAST, TRIED
from potency.tasks.task import Sample

RARE = -4.6  # the logit of 1 %: how often a pixel is a centre before anything is learned (Lin 2017, focal loss)
SIDES, PLACE = 2.0, 0.1  # weights of the losses of size, in logarithms, and of place, in pixels
OVERLAP = 0.5  # IoU of two boxes of a class above which the one of lower score is the same object


class Detect(Listed):
    """Every object as a point or a box, with its class where the truth has classes.

    One network gives a heat map of centres for each class, and at each centre how far it is from the middle of its
    pixel and, of boxes, the logarithm of height and width (CenterNet, Zhou 2019, arXiv 1904.07850). `settings.least` is
    the score from which on something is called an object; validation rows choose it by F1. Boxes below it are kept
    apart as `faint`, for average precision ranks all of them.
    """

    name = "detect"
    title = "every object as a point or a box, with its class"
    answer = Objects

    parts: ClassVar[Mapping[str, str]] = {"net": "detector"}

    def outputs(self, plan: Plan) -> int:
        return _classes(plan) + (4 if plan.settings.get("boxes") else 2)

    def build(self, plan: Plan) -> nn.ModuleDict:
        nets = super().build(plan)
        if isinstance(nets["net"], Anchored):
            return nets
        *_, last = (part for part in nets["net"].modules() if isinstance(part, nn.Conv2d) and part.bias is not None)
        assert isinstance(last.bias, Tensor)
        nn.init.constant_(last.bias[: _classes(plan)], RARE)
        return nets

    def around(self, plan: Plan, truths: Sequence[Answer]) -> float:
        return max(2 * _spread(plan), plan.settings["largest"])

    def prepare(self, plan: Plan, truths: Sequence[Answer]) -> Plan:
        plan = super().prepare(plan, truths)
        if not _anchored(plan):
            return plan
        if not plan.settings["boxes"]:
            raise PlanError(f"{plan.network} learns boxes, the truth holds points", "plan.network",
                            "give boxes, or leave --network out")  # fmt: skip
        return plan.but(halo=seen_whole(plan.settings["largest"]) if plan.halo is None else plan.halo)

    def target(self, drawn: NDArray[Any], plan: Plan) -> Sample:
        """Heat maps, places and sizes of `places` (n, 5) in a crop; of two objects at a pixel the nearer one counts."""
        if _anchored(plan):
            return {"objects": drawn}
        count, size = _classes(plan), plan.tile
        heat, near = np.zeros((count, *size), np.float32), np.zeros(size, np.float32)
        owner = np.full(size, -1)
        rest = np.zeros((self.outputs(plan) - count, *size), np.float32)
        judged = np.ones(size, np.float32)
        for number, (top, left, bottom, right, kind) in enumerate(drawn):
            if kind < 0:
                judged[_inside(top, bottom, size[0]), _inside(left, right, size[1])] = 0
                continue
            y, x = (top + bottom) / 2 - 0.5, (left + right) / 2 - 0.5
            row, column = (int(np.clip(np.rint(at), 0, side - 1)) for at, side in zip((y, x), size, strict=True))
            spread = _spread(plan, bottom - top, right - left)
            reach = int(np.ceil(3 * spread))
            part = _inside(row - reach, row + reach + 1, size[0]), _inside(column - reach, column + reach + 1, size[1])
            dy, dx = np.ogrid[part]
            own = np.exp(-((dy - row) ** 2 + (dx - column) ** 2) / (2 * spread**2)).astype(np.float32)
            np.maximum(heat[int(kind)][part], own, out=heat[int(kind)][part])
            mine = own > np.maximum(near[part], NEAR)
            near[part][mine], owner[part][mine] = own[mine], number
            told = [y - dy + 0 * dx, x - dx + 0 * dy]
            if len(rest) == 4:
                told += [np.full(own.shape, np.log((edge) / usual)) for edge, usual in zip(
                    (bottom - top, right - left), _usual(plan), strict=True)]  # fmt: skip
            for plane, values in zip(rest, told, strict=True):
                plane[part][mine] = values[mine]
        judged[heat.max(0) == 1] = 1  # a centre counts wherever it lies
        area = np.bincount(owner[owner >= 0], minlength=len(drawn) + 1).clip(1)
        weight = np.where(owner >= 0, 1 / area[owner], 0).astype(np.float32)  # as much a small object as a large one
        return {"heat": heat, "rest": rest, "near": weight, "judged": judged}

    def collate(self, samples: Sequence[Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """Lists of objects as long as the longest; what is added is no object (class -1)."""
        if "objects" not in samples[0]:
            return super().collate(samples)
        most = max(len(sample["objects"]) for sample in samples)
        filled = [nn.functional.pad(sample["objects"], (0, 0, 0, most - len(sample["objects"])), value=-1.0)
                  for sample in samples]  # fmt: skip
        return super().collate([{**sample, "objects": own} for sample, own in zip(samples, filled, strict=True)])

    def losses(self, nets: nn.ModuleDict, batch: Mapping[str, Tensor], plan: Plan) -> Iterator[tuple[str, Tensor]]:
        """Focal loss of the heat maps; mean absolute error of place and size around each centre, then over objects."""
        net = nets["net"]
        if isinstance(net, Anchored):
            yield "net", sum(net.losses(batch["image"], batch["objects"]).values(), batch["image"].new_zeros(()))
            return
        output, heat = self.forward(nets, batch)["output"].float(), batch["heat"]
        count = heat.shape[1]
        loss = _focal(output[:, :count], heat) * batch["judged"][:, None]
        total = loss.sum() / (heat == 1).sum().clamp(min=1)
        apart = (output[:, count:] - batch["rest"]).abs() * batch["near"][:, None]
        objects = batch["near"].sum().clamp(min=1)
        total = total + PLACE * apart[:, :2].sum() / objects + SIDES * apart[:, 2:].sum() / objects
        yield "net", total

    def trials(self, plan: Plan) -> Mapping[str, Sequence[float]]:
        return {"least": TRIED}

    def decode(self, output: Mapping[str, NDArray[np.float32]], plan: Plan) -> Objects:
        """The peaks of the heat maps in "output" (C, H, W); of boxes of a class that overlap the best."""
        if output["output"].ndim == 2:
            return _told(output["output"], plan)
        maps, count = output["output"], _classes(plan)
        boxes, least = bool(plan.settings.get("boxes")), plan.settings.get("least", LEAST)
        kind, row, column, score = peaks(_probability(maps[:count]), FAINT if boxes else least, _apart(plan))
        if boxes:  # more are ranked nowhere, and a network that knows nothing yet has a peak everywhere
            most = max(int((score >= least).sum()), RANKED * count)
            kind, row, column, score = kind[:most], row[:most], column[:most], score[:most]
        y, x = row + maps[count, row, column], column + maps[count + 1, row, column]
        if not boxes:
            return Objects(_table(dict(zip(centre(), (y, x), strict=True)), kind, score, plan))
        high, wide = (np.exp(np.clip(maps[count + 2 + k, row, column], -6, 6)) * _usual(plan)[k] for k in (0, 1))
        edges = np.stack([y - high / 2, x - wide / 2, y + high / 2, x + wide / 2], axis=1) + 0.5
        edges = np.clip(edges, 0, np.tile(maps.shape[1:], 2))
        kept = boxes_apart(edges, kind, score, OVERLAP)
        return _parted(edges[kept], kind[kept], score[kept], plan)


NEAR = 0.6  # height of the peak down to which a pixel tells place and size


def _anchored(plan: Plan) -> bool:
    return plan.network.partition(":")[0] in ANCHORED


def _told(rows: NDArray[np.float32], plan: Plan) -> Objects:
    """The boxes that a detector of torchvision tells of an image: edges, score and class (most, 6)."""
    edges, score, kind = rows[:, :4], rows[:, 4], rows[:, 5].astype(np.intp)
    kept = (score > 0) & (edges[:, 2:] > edges[:, :2]).all(axis=1)
    return _parted(edges[kept], kind[kept], score[kept], plan)


def _parted(edges: NDArray[Any], kind: NDArray[np.intp], score: NDArray[Any], plan: Plan) -> Objects:
    """Boxes, of which those below `settings.least` are faint."""
    table = _table(dict(zip(box(), edges.T, strict=True)), kind, score, plan)
    told = table[SCORE] >= plan.settings.get("least", LEAST)
    return Objects(table[told].reset_index(drop=True), faint=table[~told].reset_index(drop=True))


def _table(places: Mapping[str, NDArray[Any]], kind: NDArray[np.intp], score: NDArray[Any], plan: Plan) -> DataFrame:
    found: dict[str, NDArray[Any]] = {name: values.astype(np.float64) for name, values in places.items()}
    if plan.classes:
        found[CLASS] = np.array(plan.classes, object)[kind]
    return DataFrame({**found, SCORE: score.astype(np.float64)})


def _classes(plan: Plan) -> int:
    return max(1, len(plan.classes))


def _usual(plan: Plan) -> tuple[float, float]:
    """Median height and width of boxes, which sizes are told in."""
    return plan.settings["height"], plan.settings["width"]


def _spread(plan: Plan, high: float = 0.0, wide: float = 0.0) -> float:
    """Standard deviation of a peak in px: of a box a ninth of its middle side, of a point a fifth of how far the next
    one is, so that neighbours are two peaks."""
    told = plan.settings.get("spread")
    if told:
        return float(told)
    if plan.settings.get("boxes"):
        return max(1.0, float(np.sqrt(max(high, 1.0) * max(wide, 1.0))) / 9)
    return float(np.clip(plan.settings.get("near", 0.0) / 5, 1.0, 8.0))


def _apart(plan: Plan) -> int:
    """Pixels each way in which a peak must be the highest."""
    return 2 if plan.settings.get("boxes") else max(1, round(_spread(plan)))


def _inside(low: float, high: float, side: int) -> slice:
    return slice(max(0, int(np.floor(low))), min(side, int(np.ceil(high))))


def _focal(logit: Tensor, heat: Tensor) -> Tensor:
    """The focal loss of CenterNet: (1 - p)^2 log p at centres, else (1 - heat)^4 p^2 log(1 - p)."""
    sure, unsure = nn.functional.logsigmoid(logit), nn.functional.logsigmoid(-logit)
    share = logit.sigmoid()
    at = (heat == 1).float()
    return -(at * (1 - share) ** 2 * sure + (1 - at) * (1 - heat) ** 4 * share**2 * unsure)


def _probability(logit: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.clip(logit.astype(np.float32), -60, 60))), np.float32)
