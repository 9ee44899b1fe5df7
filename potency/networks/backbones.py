"""The backbones people ask for by name: where each comes from, its size, and the values its weights expect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from potency.errors import PlanError, nearest
from potency.networks.bag import Bag
from potency.networks.plain import Plain
from potency.networks.tiny import Tiny

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier.

    Attributes:
        source: "potency/NAME", "timm/NAME" or "torchvision/NAME".
        millions: parameters for colour images, in millions; 0: not counted.
        title: what it is, with its paper.
        options: what it is built with beside channels and crop, as named after a colon ("plain:depth=4").
        build: of a network of ours, what makes it of the channels, the shorter side of the crop (px) and the options.
    """

    source: str
    millions: float = 0.0
    title: str = ""
    options: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    build: Callable[..., nn.Module] | None = None

    @property
    def library(self) -> str:
        return self.source.partition("/")[0]

    @property
    def name(self) -> str:
        """What its library calls it."""
        return self.source.partition("/")[2]

    def __str__(self) -> str:
        return f"{self.millions:.2f} M parameters, {self.title}; {self.source}"


# Short names people type; any other name of timm, or of torchvision behind "torchvision/", works as it is.
BACKBONES: Mapping[str, Backbone] = {
    "tiny": Backbone("potency/tiny", 0.29, "ours: five residual blocks for single cells on a laptop", build=Tiny),
    "plain": Backbone(
        "potency/plain", 0.02, "ours: modules in a row; depth, width, kernel, module, pool, activation",
        build=lambda channels, side, **options: Plain(channels, **options),
    ),
    "bag": Backbone(
        "potency/bag", 0.31, "ours: tiny on patches, pooled by gated attention (Ilse 2018); patch, pool, body",
        build=lambda channels, side, body="tiny", **options: Bag(channels, side, _small(body), **options),
    ),
    "mobilenetv1": Backbone("timm/mobilenetv1_100", 3.21, "depthwise separable convolutions (Howard 2017)"),
    "mobilenetv2": Backbone("torchvision/mobilenet_v2", 2.22, "inverted residuals (Sandler 2018)"),
    "mobilenetv3": Backbone("timm/mobilenetv3_small_100", 1.52, "searched for phones, small (Howard 2019)"),
    "mobilenetv3-large": Backbone("timm/mobilenetv3_large_100", 4.20, "searched for phones, large (Howard 2019)"),
    "squeezenet": Backbone("torchvision/squeezenet1_1", 0.72, "fire modules, no batch norm (Iandola 2016)"),
    "vgg16-bn": Backbone("torchvision/vgg16_bn", 14.72, "thirteen plain convolutions with batch norm (Simonyan 2015)"),
    "vgg19": Backbone("torchvision/vgg19", 20.02, "sixteen plain convolutions, no batch norm (Simonyan 2015)"),
    "vgg19-bn": Backbone("torchvision/vgg19_bn", 20.04, "the same with batch norm"),
    "inceptionv3": Backbone("timm/inception_v3", 21.79, "parallel factorised convolutions (Szegedy 2016)"),
    "resnet18": Backbone("timm/resnet18", 11.18, "residual network of 18 layers (He 2016)"),
    "resnet34": Backbone("timm/resnet34", 21.28, "residual network of 34 layers (He 2016)"),
    "resnet50": Backbone("timm/resnet50", 23.51, "bottleneck residual network of 50 layers (He 2016)"),
    "resnet101": Backbone("timm/resnet101", 42.50, "bottleneck residual network of 101 layers (He 2016)"),
    "xresnet18": Backbone("timm/resnet18d", 11.20, "ResNet-D: deep stem, pooled skips (He 2019), 18 layers"),
    "xresnet34": Backbone("timm/resnet34d", 21.30, "ResNet-D: deep stem, pooled skips (He 2019), 34 layers"),
    "xresnet50": Backbone("timm/resnet50d", 23.53, "ResNet-D: deep stem, pooled skips (He 2019), 50 layers"),
    "densenet121": Backbone("timm/densenet121", 6.95, "every layer sees all before it (Huang 2017)"),
    "efficientnet-b0": Backbone("torchvision/efficientnet_b0", 4.01, "searched, then scaled; smallest (Tan 2019)"),
    "efficientnet-b7": Backbone("torchvision/efficientnet_b7", 63.79, "searched, then scaled; largest (Tan 2019)"),
    "efficientnetv2-s": Backbone("torchvision/efficientnet_v2_s", 20.18, "faster to train, small (Tan 2021)"),
    "vit-tiny": Backbone("timm/vit_tiny_patch16_224", 5.52, "transformer on patches, tiny (Touvron 2021)"),
    "vit-small": Backbone("timm/vit_small_patch16_224", 21.67, "transformer on patches, small (Touvron 2021)"),
    "hybrid-vit": Backbone("timm/vit_tiny_r_s16_p8_224", 6.14, "convolutional stem, then ViT-tiny (Steiner 2022)"),
    "hybrid-mobilevit": Backbone("timm/mobilevit_s", 4.94, "MobileNetV2 blocks and attention (Mehta 2022)"),
}

# What weights were trained to see, as (mean, standard deviation) of each of R, G and B on a scale of 0 to 1.
NORMALISATIONS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # -1..1: fresh weights, Google's networks
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # torchvision, most of timm
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),  # 0..1
    "clip": ((0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758)),  # CLIP's image encoders
    "caffe": ((0.4850, 0.4580, 0.4076), (1 / 255, 1 / 255, 1 / 255)),  # 0..255 minus the mean: ports from Caffe
}


def _small(name: str) -> Callable[[int, int], nn.Module]:
    """What makes the body of a patch: a network of ours, by its name."""
    bodies: Mapping[str, Callable[[int, int], nn.Module]] = {
        "tiny": Tiny, "plain": lambda channels, side: Plain(channels)
    }  # fmt: skip
    if name not in bodies:
        raise PlanError(f"bag has no body {name!r}", "bag:body=", nearest(str(name), bodies))
    return bodies[name]


def find_backbone(name: str) -> Backbone:
    """The backbone people mean: of the list, of timm, or "torchvision/NAME"; options may follow, each after a colon.

    >>> find_backbone("xresnet18").source, find_backbone("convnext_tiny").source
    ('timm/resnet18d', 'timm/convnext_tiny')
    >>> find_backbone("plain:depth=4:pool=mean").options
    {'depth': 4, 'pool': 'mean'}
    """
    short, *told = name.removeprefix("potency/").split(":")
    found = BACKBONES.get(short) or Backbone(short if "/" in short else f"timm/{short}")
    pairs = [pair.partition("=") for pair in told]
    if any(not (key and equals and value) for key, equals, value in pairs):
        mend = 'write them like "plain:depth=4:width=16"'
        raise PlanError(f"{':'.join(told)!r} are no options of a network", "plan.network", mend)
    return replace(found, options={key: _value(value) for key, _, value in pairs})


def _value(text: str) -> bool | int | float | str:
    """A value as it is meant: true and false, a whole or a broken number, else a word."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def normalisation(name: str, channels: int) -> tuple[list[float], list[float]]:
    """Mean and deviation for each channel of an image scaled to 0..1.

    Three channels are taken for R, G and B; any other number are no colours, and get the average of the three.

    >>> normalisation("half", 2)
    ([0.5, 0.5], [0.5, 0.5])
    """
    if name not in NORMALISATIONS:
        raise PlanError(f"there is no normalisation {name!r}", "plan.normalise", nearest(name, NORMALISATIONS))
    mean, spread = ([sum(v) / 3] * channels if channels != 3 else list(v) for v in NORMALISATIONS[name])
    return mean, spread
