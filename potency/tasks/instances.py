"""Instances: every object with its outline, by maps that a decoder turns into labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pandas import DataFrame
from torch import Tensor, nn

from potency.answers import Labels
from potency.answers.answer import Answer
from potency.data.plan import Plan
from potency.decoding import DECODERS, Decoder
from potency.errors import PlanError, nearest
from potency.tasks.dense import Dense
from potency.tasks.task import Sample

VOID = -1  # of what is not judged
VECTOR = 5.0  # what vectors of length 1 are multiplied with in the loss, as in Cellpose (Stringer 2021)


class Instances(Dense):
    """Every object of an image and its outline: nuclei, cells, colonies.

    The plan's `decoder` says which maps the network gives and how they become objects; its thresholds are `settings`.
    """

    name = "instances"
    title = "every object with its outline (nuclei, cells, colonies)"
    answer = Labels
    usual: ClassVar[Mapping[str, object]] = {**Dense.usual, "decoder": "flows"}

    def outputs(self, plan: Plan) -> int:
        return len(_decoder(plan).channels)

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
        assert isinstance(truth, Labels)
        pixels = truth.instances.astype(np.int32)
        if truth.ignore is not None:
            pixels[truth.instances == truth.ignore] = VOID
        return pixels[None]

    def target(self, drawn: NDArray[Any], plan: Plan) -> Sample:
        labels = drawn[0]
        maps = _decoder(plan).encode(np.maximum(labels, 0))
        return {"target": maps, "known": (labels != VOID).astype(np.float32), "within": (labels > 0).astype(np.float32)}

    def losses(self, nets: nn.ModuleDict, batch: Mapping[str, Tensor], plan: Plan) -> Iterator[tuple[str, Tensor]]:
        output, target = self.forward(nets, batch)["output"].float(), batch["target"]
        yield "net", sum(
            (_mean(loss, batch["within" if inside else "known"]) for loss, inside in _each(output, target, plan)),
            torch.zeros((), device=output.device),
        )

    def trials(self, plan: Plan) -> Mapping[str, Sequence[float]]:
        return {name: _around(value) for name, value in _decoder(plan).thresholds.items()}

    def decode(self, output: Mapping[str, NDArray[np.float32]], plan: Plan) -> Labels:
        """The objects that the decoder finds in "output" (C, H, W), each with the certainty of being one."""
        decoder = _decoder(plan)
        maps = _probable(output["output"], decoder)
        found = decoder.decode(maps, **plan.settings)
        table = DataFrame({"label": np.arange(1, len(found.scores) + 1), "score": found.scores})
        return Labels.of(found.labels, table)


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
