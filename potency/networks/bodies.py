"""Where bodies come from: ours, timm's and torchvision's, without classifier, for any number of channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from potency.errors import PlanError, nearest
from potency.networks.backbones import BACKBONES, NORMALISATIONS, Backbone, find_backbone

FEWEST_PATCHES = 5  # a side; with fewer, attention has nothing to attend to
LAST = ("avgpool", "classifier", "fc", "flatten")  # of torchvision: from here on it is no body any more
ASIDE = ("AuxLogits", "aux1", "aux2", "dropout")  # classifiers at half way, which only help to learn
SLOW = ("inception_v3", "googlenet")  # which of torchvision warn of a slow way to draw weights, unless told
TRANSFORMERS = ("vision_transformer", "vision_transformer_hybrid", "deit")  # modules of timm whose patch may be chosen


def body(backbone: str, channels: int, tile: tuple[int, int]) -> nn.Module:
    """The network without its classifier; features (N, F, h, w), or (N, F) from a transformer."""
    found = find_backbone(backbone)
    if found.library not in _LIBRARIES:
        raise PlanError(f"there is no network {backbone!r}", "plan.network", nearest(backbone, BACKBONES))
    try:
        return _LIBRARIES[found.library](found, channels, tile)
    except TypeError as error:  # how a constructor says that it does not know an option, or not this value
        if not found.options:
            raise
        raise PlanError(
            f"{backbone.partition(':')[0]} cannot be built with {dict(found.options)}", "plan.network", str(error)
        ) from error


def expected_values(backbone: str) -> str:
    """The normalisation (a name of `NORMALISATIONS`) that the published weights of a backbone were trained with."""
    found = find_backbone(backbone)
    if found.library == "torchvision":
        return "imagenet"
    if found.library != "timm":
        return "half"
    import timm

    facts = timm.models.get_pretrained_cfg(found.name)
    told = (*facts.mean, *facts.std) if facts is not None else ()

    def apart(name: str) -> float:
        mean, spread = NORMALISATIONS[name]
        return sum(abs(a - b) for a, b in zip((*mean, *spread), told, strict=False))

    return min(NORMALISATIONS, key=apart)


def _own(found: Backbone, channels: int, tile: tuple[int, int]) -> nn.Module:
    if found.build is None:
        raise PlanError(f"there is no network {found.source!r}", "plan.network", nearest(found.name, BACKBONES))
    return found.build(channels, min(tile), **found.options)


def _timm(found: Backbone, channels: int, tile: tuple[int, int]) -> nn.Module:
    import timm

    name = found.name
    if not timm.is_model(name):
        raise PlanError(
            f"there is no network {name!r}", "plan.network", nearest(name, [*BACKBONES, *timm.list_models()])
        )
    facts = timm.models.get_pretrained_cfg(name)
    options: dict[str, Any] = {"global_pool": ""}
    if timm.models.is_model_in_modules(name, TRANSFORMERS):
        options = _patches(name, tile)
    elif facts is not None and facts.fixed_input_size:  # attention over a grid that is laid out beforehand
        options = {"img_size": tile}
    made: Any = timm.create_model(name, in_chans=channels, num_classes=0, **{**options, **found.options})
    if getattr(made, "output_fmt", None) == "NHWC":  # Swin and its kin
        made.register_forward_hook(_channels_first)
    return cast(nn.Module, made.train())


def _channels_first(_: nn.Module, __: Any, values: Tensor) -> Tensor:
    return values.permute(0, 3, 1, 2) if values.ndim == 4 else values


def _patches(name: str, tile: tuple[int, int]) -> dict[str, Any]:
    """Patches as large as the network knows them, or halved until a crop has at least five a side."""
    import timm

    with torch.device("meta"):
        embed: Any = timm.create_model(name).patch_embed
    patch, whole = int(embed.patch_size[0]), int(embed.feat_ratio())
    while patch > 1 and min(tile) // whole < FEWEST_PATCHES:
        patch, whole = patch // 2, whole // 2
    # Crops that do not divide are padded, and a crop of another shape gets its positions by interpolation.
    return {"img_size": tile, "patch_size": patch, "dynamic_img_size": True, "dynamic_img_pad": True}


def _torchvision(found: Backbone, channels: int, tile: tuple[int, int]) -> nn.Module:
    import torchvision

    name = found.name
    try:
        drawn = {"init_weights": False} if name in SLOW else {}
        whole = torchvision.models.get_model(name, weights=None, **{**drawn, **found.options})
    except ValueError as error:
        known = [f"torchvision/{n}" for n in torchvision.models.list_models(module=torchvision.models)]
        raise PlanError(
            f"there is no network {name!r}", "plan.network", nearest(f"torchvision/{name}", known)
        ) from error
    made = nn.Sequential()
    for key, part in whole.named_children():  # everything before pooling and classifier, one after the other
        if key in LAST:
            break
        if isinstance(part, nn.ModuleList) or key == "encoder":  # it is called in a way of its own
            raise PlanError(f"torchvision's {name} is no chain of layers", "plan.network",
                            "take the network of timm, which is named without a library")  # fmt: skip
        if key not in ASIDE:
            made.add_module(key, part)
    key, first = first_convolution(made)
    if first.in_channels != channels:
        fresh = nn.Conv2d(channels, first.out_channels, first.kernel_size, first.stride, first.padding,  # type: ignore[arg-type]
                          bias=first.bias is not None)  # fmt: skip
        parent, _, leaf = key.rpartition(".")
        setattr(made.get_submodule(parent), leaf, fresh)
    return made


_LIBRARIES: Mapping[str, Callable[[Backbone, int, tuple[int, int]], nn.Module]] = {
    "potency": _own,
    "timm": _timm,
    "torchvision": _torchvision,
}


def first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d]:
    """The convolution that reads the image, with its name."""
    return next((key, m) for key, m in network.named_modules() if isinstance(m, nn.Conv2d))
