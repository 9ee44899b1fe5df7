"""One model of a bundle: cuts its own crop from each sample and gives the outputs its task decodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from itertools import islice
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from potency.bundle.known import Known
from potency.bundle.pieces import in_pieces
from potency.data.plan import Plan
from potency.data.tiles import FITTINGS, TWICE, exposure, scale
from potency.errors import BundleError, ImageError
from potency.networks import Network
from potency.tasks import Sample, Task

Output = Mapping[str, NDArray[np.float32]]
Run = Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.float32]]]


class Member(ABC):
    """A trained model with its plan; `learner` is the name the plan calls it by.

    `known` is where the embeddings of what it learned from lie, so that it can tell what is unlike them; None where
    nobody asked, or where it has no embedding.
    """

    learner: ClassVar[str]
    task: Task
    plan: Plan
    known: Known | None = None

    @property
    def reach(self) -> int | None:
        """Px around a pixel beyond which nothing changes its maps; None where there are none or anything may."""
        return None

    @abstractmethod
    def outputs(self, samples: Sequence[Sample]) -> list[Output]:
        """Raw outputs of samples whose "image" is (C, H, W) as read; "embedding" (F,) where it has one."""

    def knowing(self, known: Known | None) -> Self:
        """The same model that knows where its training samples lie."""
        made = copy(self)
        made.known = known
        return made

    def under(self, plan: Plan) -> Self:
        """The same model with other thresholds, or whatever else its plan decides after the model has spoken."""
        made = copy(self)
        made.plan = plan
        return made

    @classmethod
    @abstractmethod
    def suffixes(cls, plan: Plan) -> tuple[str, ...]:
        """The endings of its files, in the order of `dumps`."""

    @abstractmethod
    def dumps(self) -> tuple[bytes, ...]:
        """The model as files that hold numbers and names only."""

    @classmethod
    @abstractmethod
    def loads(cls, files: Mapping[str, bytes], task: Task, plan: Plan, where: str) -> Self:
        """Read what `dumps` wrote, by suffix; BundleError for anything else."""

    def with_networks(self, change: Callable[[NetworkMember], NetworkMember]) -> Member:
        """The same model with each network inside it changed (compiled, say)."""
        return self

    def images(self, samples: Sequence[Sample]) -> list[NDArray[Any]]:
        """The pixels of the samples; a grey picture saved in colour gives its grey to a model of one channel.

        Raises:
            ImageError: their channels are not those of the plan.
        """
        channels, found = self.plan.channels, []
        for sample in samples:
            image = sample["image"]
            if len(channels) == 1 and len(image) > 1 and (image[1:] == image[0]).all():
                image = image[:1]
            if len(image) != len(channels):
                raise ImageError(
                    f"the image has {_channels(len(image))}, the model takes {len(channels)}",
                    f"channels {', '.join(channels)}",
                    "give images with the channels the model was trained on, in that order" + _way(channels, image),
                )
            found.append(image)
        return found


class Forward(nn.Module):
    """A task's networks as one module from an image batch (N, C, H, W) to named outputs: what engines compile."""

    def __init__(self, task: Task, nets: nn.ModuleDict) -> None:
        super().__init__()
        self.task, self.nets = task, nets

    def forward(self, image: Tensor) -> Mapping[str, Tensor]:
        return self.task.forward(self.nets, {"image": image})


class NetworkMember(Member):
    """Networks and their weights; `run` is plain torch until an engine takes its place."""

    learner = "gradient"

    def __init__(self, task: Task, plan: Plan, nets: nn.ModuleDict, run: Run | None = None) -> None:
        self.task, self.plan, self.nets = task, plan, nets
        self.run = run or self._eager

    def crops(self, samples: Sequence[Sample]) -> NDArray[np.float32]:
        """The batch (N, C, *tile) the network sees: padded with background or stretched, scaled and levelled.

        Where answers do not depend on the tile, crops are as large as the first sample, made divisible by the stride.
        """
        images = self.images(samples)
        fit, size = FITTINGS[self.plan.fitting].apply, self.size(images[0])
        if self.plan.scale_by == "image":  # who gives a part of an image says how bright the whole is
            own = (sample.get("exposure") for sample in samples)
            images = [
                scale(image, exposure(image) if known is None else known)
                for image, known in zip(images, own, strict=True)
            ]
        return scale(np.stack([fit(image, size) for image in images]), self.plan.ranges(), self.plan.level)

    def size(self, image: NDArray[Any]) -> tuple[int, int]:
        """Height and width of the crop that is made of an image (C, H, W)."""
        if self.plan.halo is None:
            return self.plan.tile
        stride = self._stride
        return -(-image.shape[1] // stride) * stride, -(-image.shape[2] // stride) * stride

    @property
    def _stride(self) -> int:
        return max((net.stride for net in self.nets.values() if isinstance(net, Network)), default=1)

    @property
    def reach(self) -> int | None:
        halos = [net.halo if isinstance(net, Network) else None for net in self.nets.values()]
        known = [halo for halo in halos if halo is not None]
        return max(known) if self.plan.halo is not None and len(known) == len(halos) > 0 else None

    def outputs(self, samples: Sequence[Sample]) -> list[Output]:
        """As of every member; a sample whose "closer" is true is seen at twice its size where `reach` is known."""
        alike: dict[tuple[tuple[int, int], bool], list[int]] = {}
        for i, sample in enumerate(samples):
            alike.setdefault((self.size(sample["image"]), bool(sample.get("closer"))), []).append(i)
        found: dict[int, Output] = {}
        for places in alike.values():
            found |= dict(zip(places, self._outputs([samples[i] for i in places]), strict=True))
        return [found[i] for i in range(len(samples))]

    def _outputs(self, samples: Sequence[Sample]) -> list[Output]:
        crops, maps = self.crops(samples), self.task.maps
        count = 1 if maps else min(self.plan.symmetries, self.plan.test_views)  # maps would have to be turned back
        views = [self._run(view, bool(samples[0].get("closer"))) for view in symmetric(crops, count)]
        found = {name: np.mean([view[name] for view in views], axis=0) for name in views[0]}
        undo = FITTINGS[self.plan.fitting].undo
        return [
            {name: undo(values[i], sample["image"].shape[1:]) if name in maps and values.ndim == 4 else values[i]
             for name, values in found.items()}
            for i, sample in enumerate(samples)
        ]  # fmt: skip

    def _run(self, crops: NDArray[np.float32], closer: bool) -> Mapping[str, NDArray[np.float32]]:
        if (reach := self.reach) is None:
            return self.run(crops)
        found = in_pieces(self.run, crops, reach, self._stride, TWICE if closer else 1)
        return self.task.lessened(found, self.plan, TWICE) if closer else found

    def module(self) -> nn.Module:
        """The networks as one module, for engines and explanations."""
        return Forward(self.task, self.nets)

    def _eager(self, images: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        self.nets.eval()
        with torch.inference_mode():
            found = self.task.forward(self.nets, {"image": torch.from_numpy(images)})
        return {name: value.float().numpy() for name, value in found.items()}

    def with_networks(self, change: Callable[[NetworkMember], NetworkMember]) -> Member:
        return change(self)

    @classmethod
    def suffixes(cls, plan: Plan) -> tuple[str, ...]:
        return (".safetensors",)

    def dumps(self) -> tuple[bytes, ...]:
        from safetensors.torch import save

        return (save({name: value.contiguous() for name, value in self.nets.state_dict().items()}),)

    @classmethod
    def loads(cls, files: Mapping[str, bytes], task: Task, plan: Plan, where: str) -> Self:
        from safetensors import SafetensorError
        from safetensors.torch import load

        data, where = files[".safetensors"], f"{where}.safetensors"
        if data[:2] in (b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05"):
            raise BundleError("the weights are a pickle, which could run code and is never opened", where,
                              "ask for the bundle as potency wrote it (safetensors)")  # fmt: skip
        try:
            state = load(data)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"the weights are damaged: {error}", where, "copy the bundle again") from error
        with torch.inference_mode(
            False
        ):  # built here: a network made inside inference mode has no gradients to explain
            nets = task.build(plan)
            own = nets.state_dict()
            wrong = sorted(own.keys() ^ state.keys()) or [n for n in own if own[n].shape != state[n].shape]
            if wrong:
                raise BundleError(f"the weights do not fit the plan: {len(wrong)} tensors differ, first {wrong[0]!r}",
                                  where, "copy card and weights from the same bundle")  # fmt: skip
            broken = [n for n, v in state.items() if v.is_floating_point() and not bool(torch.isfinite(v).all())]
            if broken:
                raise BundleError(f"{len(broken)} tensors hold not-a-number or infinity, first {broken[0]!r}", where,
                                  "train again; the training diverged or the file was damaged")  # fmt: skip
            nets.load_state_dict(state)
        return cls(task, plan, nets.eval())


def symmetric(crops: NDArray[np.float32], count: int) -> Iterator[NDArray[np.float32]]:
    """The first `count` of the 8 flips and quarter turns of a batch (N, C, H, W): cells have no up and no left.

    A crop that is no square is not turned on its side: its network knows crops of one shape.

    >>> [view[0, 0, 0, 0].item() for view in symmetric(np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2), 4)]
    [0.0, 1.0, 3.0, 2.0]
    """
    views = ((crops[..., ::-1] if flip else crops, k) for k in (0, 2, 1, 3) for flip in (False, True))
    square = crops.shape[2] == crops.shape[3]
    for view, k in islice(((view, k) for view, k in views if square or k % 2 == 0), count):
        yield np.ascontiguousarray(np.rot90(view, k, (2, 3)))


def _way(channels: Sequence[str], image: NDArray[Any]) -> str:
    """What else may be done about an image of too few channels."""
    return "" if len(image) > len(channels) else "; files of one channel each are joined by --channels"


def _channels(count: int) -> str:
    return f"{count} channel{'s' * (count != 1)}"
