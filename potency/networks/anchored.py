"""Networks of torchvision that choose among boxes laid out beforehand, and compute their own losses."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from potency.errors import PlanError, nearest
from potency.networks.backbones import Backbone, find_backbone, normalisation
from potency.networks.bodies import first_convolution
from potency.networks.network import Network
from potency.networks.outlined import Found, Truth, planes_of, squares

logger = logging.getLogger(__name__)

LEVELS = 5  # of the pyramid; each has boxes twice as large as the one before
SHAPES = (0.5, 1.0, 2.0)  # height by width of the boxes laid out
FAINT = 0.01  # score from which on a box is told at all
DIM = 0.05  # the same of a box with a mask, which costs 0.8 MB each; torchvision's own
SURE = 0.3  # score of boxes nobody would leave out: where all told are surer, some were not told
RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101")


class Anchored(Network):
    """Faster R-CNN (Ren 2015) or RetinaNet (Lin 2017) on a feature pyramid, at the image's own size.

    {"output": (N, most, 6)}: top, left, bottom, right, score, class of boxes, the best first; where there are fewer,
    scores are 0. It sees everything, and what it says near the edge of a tile depends on the tile a little.

    Args:
        name: of `ANCHORED_BY`; `body=` one of `RESNETS` after a colon.
        channels: image channels (C).
        classes: of objects; the background is none of them.
        smallest: px a side of the smallest boxes laid out.
        most: boxes told of an image.
        normalise: what the body expects of values that the plan scaled to 0..1, a name of `NORMALISATIONS`.

    Raises:
        PlanError: there is no such detector or body.
    """

    mean: Tensor
    spread: Tensor
    stride, rate, compiles = 32, 1e-3, False

    model: Any  # torchvision says of its parts only that they are modules

    def __init__(
        self, name: str, channels: int, classes: int, smallest: float = 32.0, most: int = 300, normalise: str = "half"
    ) -> None:
        super().__init__()
        self.normalise, self.most, self.classes = normalise, most, classes
        for kind, values in zip(("mean", "spread"), normalisation(normalise, channels), strict=True):
            self.register_buffer(kind, torch.tensor(values)[:, None, None], persistent=False)
        options = dict(find_backbone(name).options)
        self.name = str(options.pop("body", "resnet50"))
        if options or self.name not in RESNETS:
            odd = f"body={self.name}" if not options else ", ".join(options)
            raise PlanError(f"{name.partition(':')[0]} cannot be built with {odd}", "plan.network",
                            nearest(self.name, RESNETS) if not options else "it takes body=")  # fmt: skip
        self.model = ANCHORED_BY[name.partition(":")[0]](self.name, classes, smallest, most)
        self.model.transform = _as_it_is(channels)
        key, first = first_convolution(self.model.backbone.body)
        if first.in_channels != channels:
            own = nn.Conv2d(channels, first.out_channels, 7, 2, 3, bias=False)
            setattr(self.model.backbone.body, key, own)

    def told(self, image: Tensor, targets: Sequence[Mapping[str, Tensor]] | None = None) -> Any:
        """What torchvision says of images: their objects, or its losses where targets are given."""
        return self.model(list((image - self.mean) / self.spread), targets)

    def forward(self, image: Tensor) -> Mapping[str, Tensor]:
        found = self.told(image)
        made = image.new_zeros(len(image), self.most, 6)
        for i, one in enumerate(found):
            count = len(one["scores"])
            self._say(one["scores"])
            made[i, :count, :4] = one["boxes"][:, [1, 0, 3, 2]].to(image)
            made[i, :count, 4] = one["scores"].to(image)
            made[i, :count, 5] = (one["labels"] - self.first).to(image)
        return {"output": made}

    def _say(self, scores: Tensor) -> None:
        """That some objects of an image may not be told, where all that are told are sure."""
        if len(scores) == self.most and scores.min() >= SURE:
            logger.warning("an image shows more objects than %d, of which no more are told; raise settings.most",
                           self.most)  # fmt: skip

    @property
    def first(self) -> int:
        """The number of the first class: R-CNNs call the background 0."""
        return 0 if hasattr(self.model, "anchor_generator") else 1

    def losses(self, image: Tensor, objects: Tensor) -> Mapping[str, Tensor]:
        """What it has to learn, part by part, of images whose objects are (N, n, 5): edges and class, below 0: none."""
        targets = []
        for rows in objects:
            known = rows[rows[:, 4] >= 0]
            targets.append({"boxes": known[:, [1, 0, 3, 2]].float(), "labels": known[:, 4].long() + self.first})
        return self.taught(image, targets)

    def taught(self, image: Tensor, targets: Sequence[Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """The losses of images with their targets as torchvision takes them."""
        was, self.model.training = self.model.training, True  # it gives no losses while its body is frozen
        try:
            return dict(self.told(image, targets))
        finally:
            self.model.training = was

    def exercise(self, image: Tensor) -> Tensor:
        boxes = [Truth.of(labels, None).edges for labels in squares(image)]
        objects = torch.stack([torch.from_numpy(edges) for edges in boxes]).to(image)
        return _total(self.losses(image, nn.functional.pad(objects, (0, 1))))

    def bodies(self) -> Mapping[str, nn.Module]:
        return {f"torchvision/{self.name}": self.model.backbone.body}

    def head(self) -> nn.Module:
        """All but the body that may have been pre-trained."""
        parts = [part for name, part in self.model.named_children() if name != "backbone"]
        return nn.ModuleList([*parts, self.model.backbone.fpn])

    def extra_repr(self) -> str:
        return f"normalise={self.normalise!r}, most={self.most}"


class AnchoredMasks(Anchored):
    """Mask R-CNN (He 2017): Faster R-CNN with a mask of 28 x 28 values inside each box.

    It answers on the pixels, as `planes_of` says. Images are answered one by one, for every box told takes 0.8 MB at
    once.
    """

    def forward(self, image: Tensor) -> Mapping[str, Tensor]:
        return planes_of(self._found(image), image)

    def _found(self, image: Tensor) -> Iterator[Found]:
        for k in range(len(image)):
            one = self.told(image[k : k + 1])[0]
            self._say(one["scores"])
            yield Found(one["boxes"][:, [1, 0, 3, 2]], one["masks"][:, 0], one["scores"], one["labels"] - 1)

    def outlines(self, image: Tensor, labels: Tensor, kinds: Tensor | None = None) -> Mapping[str, Tensor]:
        """What it has to learn, part by part, of label images (N, H, W) and the class at every pixel (N, H, W).

        Objects of no known class are left out: it cannot learn outlines without classes.
        """
        targets = []
        for k, plane in enumerate(labels):
            truth = Truth.of(plane, None if kinds is None else kinds[k])
            known = torch.from_numpy(truth.kind >= 0)
            numbers = torch.arange(1, len(known) + 1)[known]
            masks = torch.from_numpy(truth.labels)[None] == numbers[:, None, None]
            made = {"boxes": torch.from_numpy(truth.edges)[known][:, [1, 0, 3, 2]].float(),
                    "labels": torch.from_numpy(truth.kind)[known] + 1, "masks": masks.to(torch.uint8)}  # fmt: skip
            targets.append({name: value.to(image.device) for name, value in made.items()})
        return self.taught(image, targets)

    def exercise(self, image: Tensor) -> Tensor:
        return _total(self.outlines(image, squares(image)))


def _total(parts: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(list(parts.values())).sum()


def _as_it_is(channels: int) -> nn.Module:
    """In the place of torchvision's transform: neither resized nor normalised, sides made to divide by 32."""
    from torchvision.models.detection.transform import GeneralizedRCNNTransform  # late: seconds to import

    class AsItIs(GeneralizedRCNNTransform):  # type: ignore[misc]
        def resize(self, image: Tensor, target: Any = None) -> Any:
            return image, target

        def postprocess(self, result: Any, image_shapes: Any, original_image_sizes: Any) -> Any:
            return result  # boxes fit as they are, and masks stay small: as large as the image they fill the memory

    return AsItIs(1, 1, [0.0] * channels, [1.0] * channels)


def _pyramid(body: str, **more: Any) -> Any:
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

    made: nn.Module = resnet_fpn_backbone(
        backbone_name=body, weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5, **more
    )
    return made


def _boxes(smallest: float, finer: Sequence[float] = (1.0,)) -> Any:
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    sizes = tuple(tuple(smallest * 2**level * part for part in finer) for level in range(LEVELS))
    return AnchorGenerator(sizes, (SHAPES,) * LEVELS)


def _faster(body: str, classes: int, smallest: float, most: int) -> Any:
    from torchvision.models.detection import FasterRCNN

    return FasterRCNN(_pyramid(body), classes + 1, box_score_thresh=FAINT, **_proposing(smallest, most))


def _mask(body: str, classes: int, smallest: float, most: int) -> Any:
    from torchvision.models.detection import MaskRCNN

    return MaskRCNN(_pyramid(body), classes + 1, box_score_thresh=DIM, **_proposing(smallest, most))


def _proposing(smallest: float, most: int) -> Mapping[str, Any]:
    """How many boxes are proposed and told, and which are laid out."""
    proposed = max(1000, 2 * most)
    return {
        "rpn_anchor_generator": _boxes(smallest), "box_detections_per_img": most,
        "rpn_pre_nms_top_n_train": 2 * proposed, "rpn_pre_nms_top_n_test": 2 * proposed,
        "rpn_post_nms_top_n_train": proposed, "rpn_post_nms_top_n_test": proposed,
    }  # fmt: skip


def _retina(body: str, classes: int, smallest: float, most: int) -> Any:
    from torchvision.models.detection import RetinaNet
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    pyramid = _pyramid(body, returned_layers=[2, 3, 4], extra_blocks=LastLevelP6P7(256, 256))
    finer = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
    return RetinaNet(pyramid, classes, anchor_generator=_boxes(smallest, finer), score_thresh=FAINT,
                     detections_per_img=most, topk_candidates=max(1000, 2 * most))  # fmt: skip


ANCHORED_BY: Mapping[str, Callable[[str, int, float, int], nn.Module]] = {
    "faster-rcnn": _faster, "retinanet": _retina, "mask-rcnn": _mask,
}  # fmt: skip
# Short names people type; options follow, each after a colon. Those that answer with boxes, and those with masks too:
ANCHORED: Mapping[str, Backbone] = {
    "faster-rcnn": Backbone(
        "torchvision/fasterrcnn_resnet50_fpn", 41.3, "boxes proposed, then judged (Ren 2015) on a pyramid; body"
    ),
    "retinanet": Backbone(
        "torchvision/retinanet_resnet50_fpn", 32.2, "boxes judged in one go, by focal loss (Lin 2017); body"
    ),
}
MASKED: Mapping[str, Backbone] = {
    "mask-rcnn": Backbone(
        "torchvision/maskrcnn_resnet50_fpn", 43.98, "Faster R-CNN with a mask in each box (He 2017) on a pyramid; body"
    ),
}
