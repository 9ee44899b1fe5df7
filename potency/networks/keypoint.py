"""`keypoint-graph`: five key points of every object grouped into its box, and a mask inside each (Yi et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as entropy
from torch.nn.functional import cross_entropy

from potency.data.tiles import Size, sides
from potency.decoding import keypoints
from potency.decoding.keypoints import CHANNELS, POINTS, RADIUS
from potency.errors import PlanError
from potency.networks.backbones import Backbone, find_backbone, normalisation
from potency.networks.levels import Levels
from potency.networks.network import Network
from potency.networks.outlined import Found, Truth, planes_of, squares
from potency.networks.plain import convolution
from potency.networks.unet import EncodedUNet

INNER = 64  # channels before the maps of the points; published
MASK, GRID = 32, 28  # channels of the masks, and their values a side, as of Mask R-CNN
SOME = 128  # objects of a batch whose masks are learned in one step
TOGETHER = 256  # boxes whose masks are computed at a time
LONG = 0.25  # weight of the ways from point to point; published
SHAKE = 0.05  # of a side, by which edges are moved when masks are learned: boxes found are never exact
RARE = -3.0  # the logit of 5 %: how many pixels lie near a point before anything is learned


class KeypointGraph(Network):
    """Objects by five key points each: the corners of the box and its middle, ways from each to all others, masks.

    It answers on the pixels, as `planes_of` says. A U-Net over a backbone gives the maps that `decoding.keypoints`
    reads, in units of its radius; the mask of a box is computed of the same features within it, 28 x 28 values by
    RoIAlign (He 2017). Published with ResNet34 as encoder, maps on four scales in place of one, and features of all
    scales within the box.

    Args:
        name: "keypoint-graph"; `encoder=`, `width=` (channels of the finest map), `depth=` follow, each after a colon.
        channels: image channels (C).
        classes: of objects; the background is none of them.
        tile: px a side of the crops; must divide by the stride.
        normalise: what the encoder expects of values that the plan scaled to 0..1, a name of `NORMALISATIONS`.

    Raises:
        PlanError: an option or encoder that there is not, or the tile does not divide by the stride.
    """

    mean: Tensor
    spread: Tensor
    rate, compiles = 1e-3, False

    def __init__(
        self, name: str, channels: int, classes: int, tile: Size = 256, normalise: str = "half"
    ) -> None:
        super().__init__()
        self.normalise, self.classes = normalise, classes
        for kind, values in zip(("mean", "spread"), normalisation(normalise, channels), strict=True):
            self.register_buffer(kind, torch.tensor(values)[:, None, None], persistent=False)
        options = {"encoder": "resnet34", "width": 32, "depth": 4, **find_backbone(name).options}
        try:
            self.body = EncodedUNet(channels, sides(tile), **options)  # type: ignore[arg-type]
        except TypeError as error:
            raise PlanError(f"{name.partition(':')[0]} cannot be built with {options}", "plan.network",
                            str(error)) from error  # fmt: skip
        self.stride, wide = self.body.stride, self.body.num_features
        if any(side % self.stride for side in sides(tile)):
            raise PlanError(f"a tile of {'x'.join(map(str, sides(tile)))} px does not divide by {self.stride}",
                            "plan.tile", f"give multiples of {self.stride}")  # fmt: skip
        last = nn.Conv2d(INNER, CHANNELS, 1)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        nn.init.constant_(last.bias[:POINTS], RARE)  # type: ignore[index]
        self.points = nn.Sequential(convolution(wide, INNER, 3, nn.ReLU), last)
        before = (wide, MASK, MASK)
        self.inner = nn.Sequential(*(convolution(each, MASK, 3, nn.ReLU) for each in before))
        self.mask, self.kind = nn.Conv2d(MASK, 1, 1), nn.Linear(MASK, classes) if classes > 1 else None

    def forward(self, image: Tensor) -> Mapping[str, Tensor]:
        return planes_of(self._found(image), image)

    def _found(self, image: Tensor) -> Iterator[Found]:
        features = self.body((image - self.mean) / self.spread)
        for k, said in enumerate(self.points(features).float()):
            maps = torch.cat([said[:POINTS].sigmoid(), said[POINTS:] * RADIUS])
            edges, score = keypoints.decode(maps.detach().cpu().numpy())
            boxes = torch.from_numpy(edges).to(features.device).float()  # features may be bfloat16
            parts = [self._inside(features[k : k + 1], [part]) for part in boxes.split(TOGETHER)]
            masks, kinds = (torch.cat(part) for part in zip(*parts, strict=True))
            certain = torch.from_numpy(score).to(masks)
            yield Found(boxes, masks.sigmoid(), certain, kinds.argmax(1))

    def _inside(self, features: Tensor, boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits of masks (n, GRID, GRID) and classes (n, K) in the boxes (n, 4) of each image, one after the other."""
        from torchvision.ops import roi_align  # late: seconds to import

        # Under autocast features may be bfloat16, which RoIAlign does not know on a CPU.
        edges = [part[:, [1, 0, 3, 2]].float() for part in boxes]
        seen = self.inner(roi_align(features.float(), edges, GRID, sampling_ratio=1, aligned=True))
        mean = seen.mean((2, 3))
        return self.mask(seen)[:, 0].float(), (mean[:, :1] if self.kind is None else self.kind(mean)).float()

    def outlines(self, image: Tensor, labels: Tensor, kinds: Tensor | None = None) -> Mapping[str, Tensor]:
        """What it has to learn, part by part, of label images (N, H, W) and the class at every pixel (N, H, W).

        Pixels below 0 are not judged; objects of no known class teach outlines alone.
        """
        truths = [Truth.of(plane, None if kinds is None else kinds[k]) for k, plane in enumerate(labels)]
        size = int(image.shape[2]), int(image.shape[3])
        features = self.body((image - self.mean) / self.spread)
        said = self.points(features).float()
        wanted = np.stack([keypoints.encode(truth.edges.astype(np.float64), size) for truth in truths])
        parts = _points(said, torch.from_numpy(wanted).to(said), (labels >= 0).to(said))
        return parts | self._masks(features, truths)

    def _masks(self, features: Tensor, truths: Sequence[Truth]) -> dict[str, Tensor]:
        """The losses of masks and classes in the true boxes of some objects; none where there are no objects."""
        drawn = list(zip(truths, _some(truths), strict=True))
        if not any(len(some) for _, some in drawn):
            return {}
        boxes = [_shaken(torch.from_numpy(truth.edges[some]).to(features.device).float()) for truth, some in drawn]
        masks, classes = self._inside(features, boxes)
        true = torch.cat([_mask(*one, edges) for one, edges in zip(drawn, boxes, strict=True)])
        parts = {"mask": entropy(masks, true.to(masks))}
        kind = torch.from_numpy(np.concatenate([truth.kind[some] for truth, some in drawn]))
        if self.kind is not None and (kind >= 0).any():
            parts["class"] = cross_entropy(classes, kind.to(classes.device), ignore_index=-1)
        return parts

    def exercise(self, image: Tensor) -> Tensor:
        return torch.stack(list(self.outlines(image, squares(image)).values())).sum()

    def bodies(self) -> Mapping[str, nn.Module]:
        encoder = self.body.encoder
        assert isinstance(encoder, Levels)
        return {encoder.name: encoder.body}

    def head(self) -> nn.Module:
        """All but the encoder, which may have been pre-trained."""
        rest = [part for name, part in self.body.named_children() if name != "encoder"]
        return nn.ModuleList([*rest, self.points, self.inner, self.mask, *filter(None, [self.kind])])

    def extra_repr(self) -> str:
        return f"normalise={self.normalise!r}, classes={self.classes}"


def _points(said: Tensor, wanted: Tensor, judged: Tensor) -> dict[str, Tensor]:
    """Cross-entropy of the points, mean absolute error (in radii) of the ways where a point is near."""
    near, rest = wanted[:, :POINTS], wanted[:, POINTS:]
    loss = entropy(said[:, :POINTS], near, reduction="none") * judged[:, None]
    apart = (said[:, POINTS:] - rest / RADIUS).abs()
    short, long = apart[:, : 2 * POINTS], apart[:, 2 * POINTS :]

    def mean(loss: Tensor) -> Tensor:
        each = loss.shape[1] // POINTS
        weight = near.repeat_interleave(each, 1)
        return (loss * weight).sum() / weight.sum().clamp(min=1)

    points = loss.sum() / (judged.sum() * POINTS).clamp(min=1)
    return {"points": points, "short": mean(short), "long": LONG * mean(long)}


def _some(truths: Sequence[Truth]) -> list[np.ndarray]:
    """At most SOME objects of all images, drawn at random (torch's generator): which of each."""
    counts = [len(truth.edges) for truth in truths]
    drawn = np.sort(torch.randperm(sum(counts))[:SOME].numpy())
    ends = np.cumsum([0, *counts])
    return [drawn[(drawn >= low) & (drawn < high)] - low for low, high in zip(ends, ends[1:], strict=False)]


def _shaken(edges: Tensor) -> Tensor:
    side = (edges[:, 2:] - edges[:, :2]).repeat(1, 2)
    return edges + SHAKE * side * torch.randn(edges.shape).to(edges).clamp(-3, 3)


def _mask(truth: Truth, some: np.ndarray, edges: Tensor) -> Tensor:
    """Which of the GRID x GRID middles in each box lie in its object (n, GRID, GRID)."""
    box, steps = edges.cpu().numpy().astype(np.float64), (np.arange(GRID) + 0.5) / GRID
    y, x = (box[:, k, None] + steps * (box[:, k + 2] - box[:, k])[:, None] for k in (0, 1))
    rows, columns = (np.floor(at).astype(np.int64) for at in (y, x))
    high, wide = truth.labels.shape
    inside = ((rows >= 0) & (rows < high))[:, :, None] & ((columns >= 0) & (columns < wide))[:, None]
    seen = truth.labels[rows.clip(0, high - 1)[:, :, None], columns.clip(0, wide - 1)[:, None]]
    return torch.from_numpy((inside & (seen == (some + 1)[:, None, None])).astype(np.float32))


GRAPHS: Mapping[str, Backbone] = {
    "keypoint-graph": Backbone(
        "potency/keypoint-graph", 10.39, "five key points to box to mask (Yi 2019) over encoder=resnet34; width, depth"
    ),
}
