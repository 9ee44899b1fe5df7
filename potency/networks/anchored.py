"""Detectors of torchvision, which choose among boxes laid out beforehand and compute their own losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from potency.errors import PlanError, nearest
from potency.networks.backbones import Backbone, find_backbone, normalisation
from potency.networks.bodies import first_convolution
from potency.networks.network import Network

LEVELS = 5  # of the pyramid; each has boxes twice as large as the one before
SHAPES = (0.5, 1.0, 2.0)  # height by width of the boxes laid out
FAINT = 0.01  # score from which on a box is told at all
RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101")


class Anchored(Network):
    """Faster R-CNN (Ren 2015) or RetinaNet (Lin 2017) on a feature pyramid, at the image's own size.

    {"output": (N, most, 6)}: top, left, bottom, right, score, class of boxes, the best first; where there are fewer,
    scores are 0. It sees everything, and what it says near the edge of a tile depends on the tile a little.

    Args:
        name: of `ANCHORED`; `body=` one of `RESNETS` after a colon.
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

    def __init__(
        self, name: str, channels: int, classes: int, smallest: float = 32.0, most: int = 300, normalise: str = "half"
    ) -> None:
        super().__init__()
        self.normalise, self.most = normalise, most
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
        body: Any = self.model.backbone.body  # type: ignore[union-attr]
        key, first = first_convolution(body)
        if first.in_channels != channels:
            own = nn.Conv2d(channels, first.out_channels, 7, 2, 3, bias=False)
            setattr(body, key, own)

    def forward(self, image: Tensor) -> Mapping[str, Tensor]:
        found = self.model(list((image - self.mean) / self.spread))
        made = image.new_zeros(len(image), self.most, 6)
        for i, one in enumerate(found):
            count = len(one["scores"])
            made[i, :count, :4] = one["boxes"][:, [1, 0, 3, 2]].to(image)
            made[i, :count, 4] = one["scores"].to(image)
            made[i, :count, 5] = (one["labels"] - self.first).to(image)
        return {"output": made}

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
        was, self.model.training = self.model.training, True  # it gives no losses while its body is frozen
        try:
            return dict(self.model(list((image - self.mean) / self.spread), targets))
        finally:
            self.model.training = was

    def bodies(self) -> Mapping[str, nn.Module]:
        return {f"torchvision/{self.name}": self.model.backbone.body}  # type: ignore[union-attr, dict-item]

    def head(self) -> nn.Module:
        """All but the body that may have been pre-trained."""
        parts = [part for name, part in self.model.named_children() if name != "backbone"]
        return nn.ModuleList([*parts, self.model.backbone.fpn])  # type: ignore[union-attr, list-item]

    def extra_repr(self) -> str:
        return f"normalise={self.normalise!r}, most={self.most}"


def _as_it_is(channels: int) -> nn.Module:
    """In the place of torchvision's transform: neither resized nor normalised, sides made to divide by 32."""
    from torchvision.models.detection.transform import GeneralizedRCNNTransform  # late: seconds to import

    class AsItIs(GeneralizedRCNNTransform):  # type: ignore[misc]
        def resize(self, image: Tensor, target: Any = None) -> Any:
            return image, target

    return AsItIs(1, 1, [0.0] * channels, [1.0] * channels)


def _pyramid(body: str, **more: Any) -> nn.Module:
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

    made: nn.Module = resnet_fpn_backbone(
        backbone_name=body, weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5, **more
    )
    return made


def _boxes(smallest: float, finer: Sequence[float] = (1.0,)) -> Any:
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    sizes = tuple(tuple(smallest * 2**level * part for part in finer) for level in range(LEVELS))
    return AnchorGenerator(sizes, (SHAPES,) * LEVELS)


def _faster(body: str, classes: int, smallest: float, most: int) -> nn.Module:
    from torchvision.models.detection import FasterRCNN

    proposed = max(1000, 2 * most)
    made: nn.Module = FasterRCNN(
        _pyramid(body), classes + 1, rpn_anchor_generator=_boxes(smallest), box_score_thresh=FAINT,
        box_detections_per_img=most, rpn_pre_nms_top_n_train=2 * proposed, rpn_pre_nms_top_n_test=2 * proposed,
        rpn_post_nms_top_n_train=proposed, rpn_post_nms_top_n_test=proposed,
    )  # fmt: skip
    return made


def _retina(body: str, classes: int, smallest: float, most: int) -> nn.Module:
    from torchvision.models.detection import RetinaNet
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    pyramid = _pyramid(body, returned_layers=[2, 3, 4], extra_blocks=LastLevelP6P7(256, 256))
    finer = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
    made: nn.Module = RetinaNet(pyramid, classes, anchor_generator=_boxes(smallest, finer), score_thresh=FAINT,
                                detections_per_img=most, topk_candidates=max(1000, 2 * most))  # fmt: skip
    return made


ANCHORED_BY: Mapping[str, Callable[[str, int, float, int], nn.Module]] = {"faster-rcnn": _faster, "retinanet": _retina}
# Short names people type; options follow, each after a colon.
ANCHORED: Mapping[str, Backbone] = {
    "faster-rcnn": Backbone(
        "torchvision/fasterrcnn_resnet50_fpn", 41.3, "boxes proposed, then judged (Ren 2015) on a pyramid; body"
    ),
    "retinanet": Backbone(
        "torchvision/retinanet_resnet50_fpn", 32.2, "boxes judged in one go, by focal loss (Lin 2017); body"
    ),
}
