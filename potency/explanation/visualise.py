"""The verb `visualise`: what picture a class, a number or a channel of a network answers most strongly to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from potency.bundle.member import NetworkMember
from potency.data.manifest import Manifest
from potency.data.tiles import Tile
from potency.errors import PlanError, nearest
from potency.explanation.ascent import Ascent, ascend
from potency.inference.view import View, windows
from potency.tasks import Focus

if TYPE_CHECKING:
    from potency.bundle import Bundle

Pixels = NDArray[Any]
MOST = 500  # real images that a picture is compared with
AT_ONCE = 64
HIGH = 95  # percentile that stands for a typical high score of real images
STARTS = ("noise", "mean")


@dataclass(frozen=True)
class Goal:
    """What is to be answered strongly.

    Attributes:
        name: for people, and of the files.
        score: networks and images (N, C, H, W), scaled, to one number each.
        label: the class it is about; "" where it is about none.
    """

    name: str
    score: Callable[[nn.ModuleDict, Tensor], Tensor]
    label: str = ""


@dataclass(frozen=True)
class Picture:
    """One picture: its pixels (C, H, W) in the values of the images, and what models make of it.

    Attributes:
        score: that it reaches without any shift or turn.
        probability: of the goal's class by the whole bundle, calibrated; not-a-number where there is no class.
        answer, other: what the bundle, and a second model, take it for.
        agreed: the second model's probability of the class; not-a-number without one.
        path: of the file, from the folder.
    """

    pixels: NDArray[np.float32]
    seed: int
    score: float
    probability: float
    answer: str
    other: str
    agreed: float
    path: str


@dataclass(frozen=True)
class Shown:
    """One goal: its pictures, and what real images reach; best and high are not-a-number where none were compared."""

    goal: Goal
    pictures: tuple[Picture, ...]
    best: float
    high: float
    best_image: str
    best_pixels: Pixels | None
    compared: int


def goals_of(bundle: Bundle, classes: Sequence[str] = (), score: str = "", against: str = "") -> list[Goal]:
    """A goal for each class (all of them, where none is named); of a number, its highest and its lowest value.

    Raises:
        PlanError: no network, no such class, no such score.
    """
    member, task = _member(bundle), bundle.task

    def told(focus: Focus, sign: float = 1.0) -> Callable[[nn.ModuleDict, Tensor], Tensor]:
        return lambda nets, images: sign * task.focus(task.forward(nets, {"image": images}), member.plan, focus)

    if not task.answer.labelled:
        if classes or against:
            raise PlanError(f"{task.name} knows no classes", "the class to visualise", "leave the class out")
        goals = [Goal("highest value", told(Focus(score))), Goal("lowest value", told(Focus(score), -1.0))]
    else:
        chosen = classes or [name for name in member.plan.classes if name != against]
        goals = [Goal(name, told(Focus(score, name, against)), name) for name in chosen]
    blank = torch.zeros(1, len(member.plan.channels), *member.plan.tile)
    with torch.no_grad():  # an unknown class or score is refused before anything is worked on
        for goal in goals:
            goal.score(_nets(member), blank)
    return goals


def channel_goals(bundle: Bundle, layer: str, channels: Sequence[int]) -> list[Goal]:
    """A goal for each of these channels of a layer: its mean over the image.

    Raises:
        PlanError: no such layer or channel; the nearest, or how many there are, is told.
    """
    member = _member(bundle)
    nets = _nets(member)
    names = [name for name, _ in nets.named_modules() if name]
    if layer not in names:
        raise PlanError(f"the network has no layer {layer!r}", "--layer", nearest(layer, names))

    def told(channel: int) -> Callable[[nn.ModuleDict, Tensor], Tensor]:
        return lambda nets, images: _activation(bundle, nets, images, layer)[:, channel].flatten(1).mean(1)

    with torch.no_grad():
        size = _activation(bundle, nets, torch.zeros(1, len(member.plan.channels), *member.plan.tile), layer).shape[1]
    for channel in channels:
        if not 0 <= channel < size:
            raise PlanError(f"there is no channel {channel}", f"layer {layer}", f"it has {size}, from 0 to {size - 1}")
    return [Goal(f"{layer} channel {channel}", told(channel)) for channel in channels]


def _activation(bundle: Bundle, nets: nn.ModuleDict, images: Tensor, layer: str) -> Tensor:
    """What a layer gives (N, C, ...); of tokens (N, T, C) channels come first."""
    kept: list[Any] = []
    hook = nets.get_submodule(layer).register_forward_hook(lambda module, inputs, output: kept.append(output))
    try:
        bundle.task.forward(nets, {"image": images})
    finally:
        hook.remove()
    if not kept or not isinstance(kept[-1], Tensor) or kept[-1].ndim < 2 or len(kept[-1]) != len(images):
        raise PlanError(f"the layer {layer!r} gives no channels", "--layer", "name one that gives a map or a vector")
    return kept[-1].transpose(1, 2) if kept[-1].ndim == 3 else kept[-1]


def _member(bundle: Bundle) -> NetworkMember:
    """The network that is looked into; of an ensemble the first."""
    for member in bundle.members:
        if isinstance(member, NetworkMember):
            return member
    raise PlanError("the bundle holds no network", str(bundle.folder or "bundle"), "name a bundle of networks")


def _nets(member: NetworkMember) -> nn.ModuleDict:
    assert isinstance(member.nets, nn.ModuleDict)
    return member.nets.eval()


def visualise(
    bundle: Bundle,
    goals: Sequence[Goal],
    *,
    into: str | Path,
    images: Manifest | None = None,
    other: Bundle | None = None,
    start: str = "noise",
    ascent: Ascent | None = None,
    seed: int = 0,
) -> list[Shown]:
    """Seek the pictures of all goals, and what real images and other models say to them.

    Args:
        bundle: the network that is looked into (of an ensemble the first).
        goals: see `goals_of` and `channel_goals`.
        into: folder of `pictures/` (float32 TIFF in the values of the images) and of `visualised.csv`, one row each.
        images: real images to compare with; at most 500 are looked at. Without, the few that lie in the bundle.
        other: a second model that takes the same channels: does it see the class in the picture, too?
        start: "noise" over the mean level of the real images, or "mean": noise over their mean image.
        ascent: how pictures are sought.
        seed: the same seed gives the same pictures.

    Raises:
        PlanError: an unknown start, or a mean of no images.
    """
    if start not in STARTS:
        raise PlanError(f"there is no start {start!r}", "--start", nearest(start, STARTS))
    member, folder, ascent = _member(bundle), Path(into), ascent or Ascent()
    nets = _nets(member)
    real = list(_real(bundle, member, images))
    if not real and start == "mean":
        raise PlanError("there is no image to take the mean of", "--start mean", "give --images")
    scores, middle = _compared(goals, nets, real)
    shape = (len(member.plan.channels), *member.plan.tile)
    level = torch.full(shape, 0.5) if middle is None else middle
    begun = level if start == "mean" else level.mean((1, 2), keepdim=True).expand(shape)
    found = []
    for place, goal in enumerate(goals):
        own = scores[place] if real else np.zeros(0)
        spread = float(own.std()) if len(own) > 4 else 0.0
        sought = ascend(partial(goal.score, nets), begun, ascent, seed + 1000 * place, spread)
        pictures = tuple(
            _picture(bundle, other, goal, k, sought.pictures[k].numpy(), float(sought.scores[k]), folder)
            for k in range(ascent.seeds)
        )
        top = int(own.argmax()) if len(own) else -1
        found.append(Shown(
            goal, pictures, float(own[top]) if len(own) else float("nan"),
            float(np.percentile(own, HIGH)) if len(own) else float("nan"),
            real[top][0] if len(own) else "", real[top][1] if len(own) else None, len(own),
        ))  # fmt: skip
    table_of(found).to_csv(folder / "visualised.csv", index=False)
    return found


Real = tuple[str, Pixels, NDArray[np.float32]]  # id, pixels as read, the crop that the network sees


def _real(bundle: Bundle, member: NetworkMember, images: Manifest | None) -> Iterator[Real]:
    """Real images: the first window of each row that can be read, or the examples of the bundle."""
    if images is None:
        for k, sample in enumerate(bundle.examples):
            yield f"example {k} of the bundle", np.asarray(sample["image"]), member.crops([sample])[0]
        return
    rows = images.records()
    chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:MOST])
    for place in chosen:
        try:
            view = View.of(images, rows[int(place)], member.plan)
            tile: Tile = windows(view.shape, member.plan)[0]
            pixels = np.asarray(view.crop(tile))
            crop = member.crops([{"image": pixels}])[0]
        except Exception:  # an image that cannot be read is none to compare with
            continue
        if np.isfinite(crop).all():
            yield str(rows[int(place)]["id"]), pixels, crop


def _compared(
    goals: Sequence[Goal], nets: nn.ModuleDict, real: Sequence[Real]
) -> tuple[NDArray[np.float64], Tensor | None]:
    """The score of every goal for every real image (G, N), and the mean image."""
    if not real:
        return np.zeros((len(goals), 0)), None
    told, total = [], torch.zeros(real[0][2].shape)
    with torch.no_grad():
        for first in range(0, len(real), AT_ONCE):
            batch = torch.from_numpy(np.stack([crop for _, _, crop in real[first : first + AT_ONCE]]))
            told.append(torch.stack([goal.score(nets, batch) for goal in goals]).numpy())
            total += batch.sum(0)
    return np.concatenate(told, 1).astype(np.float64), (total / len(real)).clamp(0, 1)


def _picture(
    bundle: Bundle, other: Bundle | None, goal: Goal, seed: int, crop: NDArray[np.float32], score: float, folder: Path
) -> Picture:
    import tifffile

    ranges = _member(bundle).plan.ranges()
    pixels = np.asarray(crop * (ranges[:, 1] - ranges[:, 0])[:, None, None] + ranges[:, 0][:, None, None], np.float32)
    stem = re.sub(r"[^\w.-]+", "_", goal.name)[:60]
    path = folder / "pictures" / f"{stem}-{seed}.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, photometric="minisblack", compression="zlib", metadata={"axes": "CYX"})
    own, sure = _answer(bundle, pixels, goal.label)
    theirs, agreed = ("", float("nan")) if other is None else _answer(other, pixels, goal.label)
    return Picture(pixels, seed, score, sure, own, theirs, agreed, path.relative_to(folder).as_posix())


def _answer(bundle: Bundle, pixels: NDArray[np.float32], label: str) -> tuple[str, float]:
    """What a model takes pixels for, and its probability of a class (not-a-number where it has none)."""
    cells = bundle([{"image": pixels}])[0].cells(Path(), "answer")
    said = cells["answer"]
    return (f"{said:.4g}" if isinstance(said, float) else str(said)), float(
        cells.get(f"answer.probability.{label}", float("nan")) if label else float("nan")
    )


def table_of(found: Sequence[Shown]) -> pd.DataFrame:
    """One row a picture: a table that `predict` reads, too."""
    return pd.DataFrame([
        {
            "image": picture.path, "goal": shown.goal.name, "seed": picture.seed, "score": picture.score,
            "best_real": shown.best, "high_real": shown.high, "best_image": shown.best_image,
            "answer": picture.answer, "probability": picture.probability, "other": picture.other,
            "probability@other": picture.agreed,
        }
        for shown in found
        for picture in shown.pictures
    ])  # fmt: skip

