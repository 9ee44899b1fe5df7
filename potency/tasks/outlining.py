"""How a network outlines objects: by maps that a decoder reads, or by boxes with a mask inside each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pandas import DataFrame
from torch import Tensor, nn

from potency.answers import Labels, Objects
from potency.answers.files import CLASS
from potency.answers.objecttable import LABEL, SCORE, box
from potency.data.plan import Plan
from potency.decoding import DECODERS, Decoder
from potency.errors import PlanError, nearest
from potency.networks import OUTLINED
from potency.tasks.dense import VOID, dice, seen_whole
from potency.tasks.listed import surroundings
from potency.tasks.task import Sample

VECTOR = 5.0  # what vectors of length 1 are multiplied with in the loss, as in Cellpose (Stringer 2021)
LEAST = 0.3  # score of what is called an object
IN_PIXELS = ("length", "embedding")  # kinds of maps that have larger values of an enlarged image
TRIED = (0.1, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
OWN = ("least", "holes")  # thresholds that are tried at values of their own
SURE = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)  # of scores that are means over pixels, each above `inside`
Forward = Callable[[nn.ModuleDict, Mapping[str, Tensor]], Mapping[str, Tensor]]


class Way(ABC):
    """What the network of a plan is asked for, how that is learned, and how it becomes labels."""

    @abstractmethod
    def heads(self, plan: Plan) -> tuple[int, ...]:
        """Numbers the network gives for a pixel, by what they are about."""

    def prepare(self, plan: Plan, truths: Sequence[Labels]) -> Plan:
        """What the objects of the truths, without their pixels, add to the plan before its halo is known."""
        return plan

    @abstractmethod
    def around(self, plan: Plan, largest: float) -> float:
        """Pixels that must be seen around an object of this size beyond what the network sees."""

    def halo(self, plan: Plan) -> int | None:
        """The halo of tiles where the network itself sees everything; None: views of the plan's size."""
        return None

    @property
    def scales(self) -> bool:
        """Whether maps of an enlarged image tell the outlines in the image: see `lessened`."""
        return False

    def lessened(self, output: Mapping[str, NDArray[Any]], plan: Plan, times: int) -> Mapping[str, NDArray[Any]]:
        """Maps of images seen `times` their size, made small again, as maps of the images themselves."""
        return output

    @abstractmethod
    def target(self, drawn: NDArray[Any], plan: Plan) -> Sample:
        """What a loss can use, of a crop of objects and their classes as drawn."""

    @abstractmethod
    def loss(self, nets: nn.ModuleDict, batch: Mapping[str, Tensor], plan: Plan, forward: Forward) -> Tensor:
        """What is to become small; `forward` gives the task's outputs."""

    @abstractmethod
    def trials(self, plan: Plan) -> Mapping[str, Sequence[float]]:
        """What may be tried on validation rows for each threshold."""

    @abstractmethod
    def decode(self, output: Mapping[str, NDArray[Any]], plan: Plan) -> Labels:
        """The objects in the outputs for one image."""


def way(plan: Plan) -> Way:
    """How the plan's network outlines objects."""
    return BOXES if plan.network.partition(":")[0] in OUTLINED else MAPS


class Maps(Way):
    """The network gives the maps of the plan's decoder, and with classes one more for each."""

    def heads(self, plan: Plan) -> tuple[int, ...]:
        kinds = [len(list(same)) for _, same in groupby(_decoder(plan).channels, lambda channel: channel.kind)]
        return (*kinds, len(plan.classes)) if plan.classes else tuple(kinds)  # as HoVer-Net's branches

    def around(self, plan: Plan, largest: float) -> float:
        return float(_decoder(plan).reach(largest))

    @property
    def scales(self) -> bool:
        return True

    def lessened(self, output: Mapping[str, NDArray[Any]], plan: Plan, times: int) -> Mapping[str, NDArray[Any]]:
        parts = [times if channel.kind in IN_PIXELS else 1 for channel in _decoder(plan).channels]
        maps, by = output["output"], np.ones((output["output"].shape[1], 1, 1), np.float32)
        by[: len(parts), 0, 0] = parts  # maps of classes come after those of the decoder
        return {**output, "output": maps / by}

    def target(self, drawn: NDArray[Any], plan: Plan) -> Sample:
        labels = drawn[0]
        maps = _decoder(plan).encode(np.maximum(labels, 0))
        found = {"target": maps, "known": (labels != VOID).astype(np.float32)}
        found["within"] = (labels > 0).astype(np.float32)
        return found | ({"class": drawn[1].astype(np.int64)} if plan.classes else {})

    def loss(self, nets: nn.ModuleDict, batch: Mapping[str, Tensor], plan: Plan, forward: Forward) -> Tensor:
        output = forward(nets, batch)["output"].float()
        total = torch.stack([_mean(loss, where) for loss, where in _each(output, batch, plan)]).sum()
        if plan.classes:
            said, true = output[:, -len(plan.classes) :], batch["class"]
            entropy = nn.functional.cross_entropy(said, true, ignore_index=VOID, reduction="sum")
            total = total + entropy / (true != VOID).sum().clamp(min=1) + dice(said.softmax(1), true)
        return total

    def trials(self, plan: Plan) -> Mapping[str, Sequence[float]]:
        others = {name: _around(value) for name, value in _decoder(plan).thresholds.items() if name not in OWN}
        return {"least": SURE, **others, "holes": (0,)}  # what is told goes first, lest debris choose the others

    def decode(self, output: Mapping[str, NDArray[Any]], plan: Plan) -> Labels:
        """Each object has the certainty of being one, and with classes the most probable and its probability, the mean
        over its pixels."""
        decoder = _decoder(plan)
        maps = _probable(output["output"][: len(decoder.channels)], decoder)
        found = decoder.decode(maps, **plan.settings)
        table = DataFrame({LABEL: np.arange(1, len(found.scores) + 1), SCORE: found.scores})
        if plan.classes:
            share = _shares(found.labels, output["output"][len(decoder.channels) :], len(table))
            names = np.array(plan.classes, object)[share.argmax(1)]
            table = table.assign(**{CLASS: names, f"{CLASS}_probability": share.max(1).astype(np.float32)})
        return Labels.of(found.labels, table)


class Boxes(Way):
    """The network finds boxes and a mask in each, computes its own losses, and answers with painted labels."""

    def heads(self, plan: Plan) -> tuple[int, ...]:
        return (3,)

    def prepare(self, plan: Plan, truths: Sequence[Labels]) -> Plan:
        """The sizes of objects, which boxes are laid out by; and no decoder, for there is nothing to decode."""
        tables = [Objects(truth.objects[list(box())].astype(float)) for truth in truths if len(truth.objects)]
        return plan.but(settings={**surroundings(tables), **plan.settings}, decoder="")

    def around(self, plan: Plan, largest: float) -> float:
        return largest

    def halo(self, plan: Plan) -> int | None:
        return seen_whole(plan.settings["largest"])

    def target(self, drawn: NDArray[Any], plan: Plan) -> Sample:
        return {"labels": drawn[0]} | ({"class": drawn[1]} if plan.classes else {})

    def loss(self, nets: nn.ModuleDict, batch: Mapping[str, Tensor], plan: Plan, forward: Forward) -> Tensor:
        parts = nets["net"].outlines(batch["image"], batch["labels"], batch.get("class"))  # type: ignore[operator]
        return torch.stack(list(parts.values())).sum()

    def trials(self, plan: Plan) -> Mapping[str, Sequence[float]]:
        return {"least": TRIED}

    def decode(self, output: Mapping[str, NDArray[Any]], plan: Plan) -> Labels:
        """Objects from the score `settings.least` on, each with its score: the mean of "output" over its pixels."""
        number, kind = (np.rint(plane).astype(np.int64) for plane in output["labels"])
        area = np.bincount(number.ravel())
        score = np.bincount(number.ravel(), output["output"][0].ravel()) / np.maximum(area, 1)
        names, first = np.unique(number, return_index=True)
        met = names[np.argsort(first)]  # as a reader meets them
        kept = met[(met > 0) & (score[met] >= plan.settings.get("least", LEAST))]
        new = np.zeros(len(area), np.uint32)
        new[kept] = np.arange(1, len(kept) + 1)
        table = DataFrame({LABEL: np.arange(1, len(kept) + 1), SCORE: score[kept].astype(np.float32)})
        if plan.classes:
            told = kind.ravel()[first[np.searchsorted(names, kept)]]
            table[CLASS] = np.array(plan.classes, object)[told]
        return Labels.of(new[number], table)


MAPS, BOXES = Maps(), Boxes()


def _shares(labels: NDArray[np.uint32], logits: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    """The probability of each class for each of `count` objects (count, K): the mean over its pixels."""
    inside = np.flatnonzero(labels)
    which = labels.ravel()[inside] - 1
    values = logits.reshape(len(logits), -1)[:, inside].astype(np.float32)
    power = np.exp(values - values.max(0, initial=-np.inf))
    power /= power.sum(0)
    total = np.stack([np.bincount(which, weights=one, minlength=count) for one in power], axis=1)
    return np.asarray(total / np.maximum(np.bincount(which, minlength=count), 1)[:, None])


def _around(value: float) -> tuple[float, ...]:
    """What may be better than a threshold: a share is moved by halves and quarters, a number of pixels doubled.

    >>> _around(0.5), _around(4)
    ((0.25, 0.375, 0.625, 0.75), (8, 16, 32, 64))
    """
    if value < 1:
        return tuple(value * by for by in (0.5, 0.75, 1.25, 1.5) if value * by < 1)
    return tuple(value * by for by in (2, 4, 8, 16))


def _decoder(plan: Plan) -> Decoder:
    if plan.decoder not in DECODERS:
        raise PlanError(f"there is no decoder {plan.decoder!r}", "plan.decoder", nearest(plan.decoder, DECODERS))
    return DECODERS[plan.decoder]


def _each(output: Tensor, batch: Mapping[str, Tensor], plan: Plan) -> Iterator[tuple[Tensor, Tensor]]:
    """The loss of each map at every pixel (N, H, W), and how much it counts there: within objects only, or wherever
    the truth is known.

    Lengths in pixels are judged as shares of the object's size: judged in pixels, the few large objects teach
    everything, and small ones are hardly found.
    """
    channels, target = _decoder(plan).channels, batch["target"]
    of = {kind: [k for k, one in enumerate(channels) if one.kind == kind] for kind in ("class", "length", "embedding")}
    if alike := of["class"]:
        yield nn.functional.cross_entropy(output[:, alike], target[:, alike], reduction="none"), batch["known"]
    if alike := of["length"]:
        apart = (output[:, alike] - target[:, alike]).abs().mean(1) / target[:, alike].mean(1).clamp(min=1)
        yield apart, batch["within"] * target[:, alike[0] - 1]
    if alike := of["embedding"]:
        apart = (output[:, alike] - target[:, alike]).abs().sum(1)
        yield apart / target[:, alike[-1]].clamp(min=1), batch["within"]
    for k, channel in enumerate(channels):
        said, true, where = output[:, k], target[:, k], batch["within" if channel.inside else "known"]
        if channel.kind == "logit":
            yield nn.functional.binary_cross_entropy_with_logits(said, true, reduction="none"), where
        elif channel.kind == "vector":
            yield (VECTOR * (said - true)).square() / 2, where
        elif channel.kind not in of:
            yield nn.functional.smooth_l1_loss(said, true, reduction="none"), where


def _mean(loss: Tensor, where: Tensor) -> Tensor:
    return (loss * where).sum() / where.sum().clamp(min=1)


def _probable(output: NDArray[np.float32], decoder: Decoder) -> NDArray[np.float32]:
    """Outputs of the network as a decoder takes them: probabilities where it asks for them."""
    maps = output.astype(np.float32)
    classes = [k for k, channel in enumerate(decoder.channels) if channel.kind == "class"]
    if classes:
        power = np.exp(maps[classes] - maps[classes].max(0))
        maps[classes] = power / power.sum(0)
    for k, channel in enumerate(decoder.channels):
        if channel.kind == "logit":
            maps[k] = 1 / (1 + np.exp(-maps[k]))
    return maps
