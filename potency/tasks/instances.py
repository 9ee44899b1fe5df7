"""Instances: every object with its outline, by maps that a decoder turns into labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, ClassVar

import numpy as np
import torch
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
from potency.decoding import DECODERS, Decoder
from potency.errors import PlanError, nearest
from potency.tasks.dense import VOID, Dense, dice
from potency.tasks.task import Sample

VECTOR = 5.0  # what vectors of length 1 are multiplied with in the loss, as in Cellpose (Stringer 2021)


class Instances(Dense):
    """Every object of an image and its outline: nuclei, cells, colonies.

    The plan's `decoder` says which maps the network gives and how they become objects; its thresholds are `settings`.
    Where the objects of the truths have classes, a head more gives every pixel the probabilities of these, and every
    object the mean of its pixels.
    """

    name = "instances"
    title = "every object with its outline (nuclei, cells, colonies)"
    answer = Labels
    usual: ClassVar[Mapping[str, object]] = {**Dense.usual, "decoder": "flows"}

    def outputs(self, plan: Plan) -> int:
        return sum(self.heads(plan))

    def heads(self, plan: Plan) -> tuple[int, ...]:
        """The maps of the decoder by their kind, as HoVer-Net's branches; then the classes of objects."""
        kinds = [len(list(same)) for _, same in groupby(_decoder(plan).channels, lambda channel: channel.kind)]
        return (*kinds, len(plan.classes)) if plan.classes else tuple(kinds)

    def prepare(self, plan: Plan, truths: Sequence[Answer]) -> Plan:
        tables = [_seen(truth) for truth in truths]  # read once, and without their pixels
        if not any(len(truth.objects) for truth in tables):
            raise PlanError("no row to learn from has an object", "truth", "give the objects of some images")
        if not plan.classes:
            named = sorted(set().union(*(_classes(truth.objects) for truth in tables)), key=natural)
            plan = plan.but(classes=named if len(named) > 1 else ())
        return super().prepare(plan, tables)

    def around(self, plan: Plan, truths: Sequence[Answer]) -> float:
        """What the decoder must see around the largest object of the truths."""
        largest = 0.0
        for truth in truths:
            assert isinstance(truth, Labels)
            box = truth.objects[[name for name in truth.objects if str(name).startswith("bbox-")]].to_numpy(float)
            half = box.shape[1] // 2
            largest = max(largest, float((box[:, half:] - box[:, :half]).max(initial=0)))
        return float(_decoder(plan).reach(largest))

    def drawn(self, truth: Answer, plan: Plan) -> NDArray[Any]:
        """The number of the object at every pixel; with classes also that of its class."""
        assert isinstance(truth, Labels)
        pixels = truth.instances.astype(np.int32)
        if truth.ignore is not None:
            pixels[truth.instances == truth.ignore] = VOID
        return np.stack([pixels, _kinds(truth, plan.classes)]) if plan.classes else pixels[None]

    def target(self, drawn: NDArray[Any], plan: Plan) -> Sample:
        labels = drawn[0]
        maps = _decoder(plan).encode(np.maximum(labels, 0))
        found = {"target": maps, "known": (labels != VOID).astype(np.float32)}
        found["within"] = (labels > 0).astype(np.float32)
        return found | ({"class": drawn[1].astype(np.int64)} if plan.classes else {})

    def losses(self, nets: nn.ModuleDict, batch: Mapping[str, Tensor], plan: Plan) -> Iterator[tuple[str, Tensor]]:
        output, target = self.forward(nets, batch)["output"].float(), batch["target"]
        total = sum(
            (_mean(loss, batch["within" if inside else "known"]) for loss, inside in _each(output, target, plan)),
            torch.zeros((), device=output.device),
        )
        if plan.classes:
            said, true = output[:, -len(plan.classes) :], batch["class"]
            entropy = nn.functional.cross_entropy(said, true, ignore_index=VOID, reduction="sum")
            total = total + entropy / (true != VOID).sum().clamp(min=1) + dice(said.softmax(1), true)
        yield "net", total

    def trials(self, plan: Plan) -> Mapping[str, Sequence[float]]:
        return {name: _around(value) for name, value in _decoder(plan).thresholds.items()}

    def decode(self, output: Mapping[str, NDArray[np.float32]], plan: Plan) -> Labels:
        """The objects that the decoder finds in "output" (C, H, W), each with the certainty of being one.

        With classes each has the most probable one, and its probability: the mean over its pixels.
        """
        decoder = _decoder(plan)
        maps = _probable(output["output"][: len(decoder.channels)], decoder)
        found = decoder.decode(maps, **plan.settings)
        table = DataFrame({"label": np.arange(1, len(found.scores) + 1), "score": found.scores})
        if plan.classes:
            share = _shares(found.labels, output["output"][len(decoder.channels) :], len(table))
            names = np.array(plan.classes, object)[share.argmax(1)]
            table = table.assign(**{CLASS: names, f"{CLASS}_probability": share.max(1).astype(np.float32)})
        return Labels.of(found.labels, table)


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
    ((0.25, 0.375, 0.625, 0.75), (8, 16, 32))
    """
    if value < 1:
        return tuple(value * by for by in (0.5, 0.75, 1.25, 1.5) if value * by < 1)
    return tuple(value * by for by in (2, 4, 8))


def _decoder(plan: Plan) -> Decoder:
    if plan.decoder not in DECODERS:
        raise PlanError(f"there is no decoder {plan.decoder!r}", "plan.decoder", nearest(plan.decoder, DECODERS))
    return DECODERS[plan.decoder]


def _each(output: Tensor, target: Tensor, plan: Plan) -> Iterator[tuple[Tensor, bool]]:
    """The loss of each map at every pixel (N, H, W), and whether it counts within objects only."""
    channels = _decoder(plan).channels
    classes = [k for k, channel in enumerate(channels) if channel.kind == "class"]
    if classes:
        yield nn.functional.cross_entropy(output[:, classes], target[:, classes], reduction="none"), False
    for k, channel in enumerate(channels):
        said, true = output[:, k], target[:, k]
        if channel.kind == "logit":
            yield nn.functional.binary_cross_entropy_with_logits(said, true, reduction="none"), channel.inside
        elif channel.kind == "vector":
            yield (VECTOR * (said - true)).square() / 2, channel.inside
        elif channel.kind != "class":
            yield nn.functional.smooth_l1_loss(said, true, reduction="none"), channel.inside


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
