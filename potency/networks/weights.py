"""Weights to start from: ImageNet through the hub, or a local file of arrays; nothing in a file is ever executed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from potency.errors import BundleError, PlanError
from potency.networks.backbones import find_backbone
from potency.networks.bodies import first_convolution
from potency.networks.encoder import Encoder
from potency.networks.network import Network


def load_weights(network: nn.Module, backbone: str, source: str) -> int:
    """Load starting weights into the body of `network`, in place; the head stays fresh.

    Args:
        source: "imagenet" (downloaded by timm or torchvision, needs the network), the folder of a bundle (its first
            member), or the path of a safetensors file or of a state dict readable with `weights_only=True`.

    Returns:
        How many tensors were taken.

    Raises:
        PlanError: no such file, or the hub cannot be reached.
        BundleError: the file is damaged, holds code, or belongs to another network.
    """
    backbone = [*(network.bodies() if isinstance(network, Network) else ()), backbone][0]
    state = _hub(backbone) if source == "imagenet" else read_tensors(Path(source))
    return adopt(network, state, source)


def adopt(network: nn.Module, state: Mapping[str, Tensor], where: str) -> int:
    """Copy every tensor of `state` that belongs to the body; a first convolution is adapted to the channels."""
    bodies = [*network.bodies().values()] if isinstance(network, Network) else []
    bodies = [network.body] if isinstance(network, Encoder) else bodies
    if not bodies:
        raise PlanError(f"{type(network).__name__} takes no starting weights", where, "leave --weights out")
    body = bodies[0]
    own = body.state_dict()
    first = f"{first_convolution(body)[0]}.weight"
    taken: dict[str, Tensor] = {}
    for name, value in own.items():
        names = (name, name.removeprefix("features."), f"body.{name}", f"net.body.{name}")  # the last: of our bundles
        given = next((state[key] for key in names if key in state), None)
        if given is None:
            continue
        if name == first:
            given = adapt_channels(given, value.shape[1])
        given = _resampled(name, given, body)
        if given.shape == value.shape:
            taken[name] = given.to(value.dtype)
    learned = [name for name, value in own.items() if value.is_floating_point()]
    missing = [name for name in learned if name not in taken]
    if len(missing) > 0.02 * len(learned):
        raise BundleError(
            f"the weights belong to another network: {len(missing)} of {len(learned)} tensors have no match "
            f"(the first is {missing[0]!r})", where, "give the weights of this very network, or change --network",
        )  # fmt: skip
    body.load_state_dict({**own, **taken})
    return len(taken)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read named tensors from safetensors or, with `weights_only=True`, from a PyTorch file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = path / "weights.safetensors" if path.is_dir() else path  # the folder of a bundle
    if not path.is_file():
        raise PlanError("there is no such weights file", str(path), 'give a local file, or "imagenet" when online')
    if path.suffix == ".safetensors":
        try:
            return dict(load_file(path))
        except (SafetensorError, ValueError, OSError) as error:
            raise BundleError(
                f"not a safetensors file: {error}", str(path), "copy or export the weights again"
            ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the loader raises whatever the bytes provoke; all of it means the same
        raise BundleError(
            "the file is not plain tensors (it may be a pickle with code, which is never run)", str(path),
            "save the state dict as safetensors where you trust the file",
        ) from error  # fmt: skip
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise BundleError("the file holds no table of tensors", str(path), "save model.state_dict()")
    return {str(k): v for k, v in state.items()}


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """A first convolution (F, C, kh, kw) for another number of channels, keeping the size of its response.

    One channel: the sum over the old ones. More: the old ones repeated and scaled by old/new.

    >>> adapt_channels(torch.ones(1, 3, 1, 1), 1).item()
    3.0
    """
    old = weight.shape[1]
    if channels == old:
        return weight
    if channels == 1:
        return weight.sum(1, keepdim=True)
    repeated = weight.repeat(1, -(-channels // old), 1, 1)[:, :channels]
    return repeated * (old / channels)


def _resampled(name: str, given: Tensor, body: nn.Module) -> Tensor:
    """Patches of another size and positions on another grid, as a transformer for this crop needs them.

    Positions are interpolated (Dosovitskiy 2021), patches so that a token stays the same (FlexiViT, Beyer 2023).
    """
    own = body.get_parameter(name) if name in dict(body.named_parameters()) else None
    if own is None or given.shape == own.shape:
        return given
    if name.startswith("patch_embed.") and given.ndim == 4:
        from timm.layers.patch_embed import resample_patch_embed

        return torch.as_tensor(resample_patch_embed(given, list(own.shape[2:])))
    if name == "pos_embed":
        from timm.layers.pos_embed import resample_abs_pos_embed

        grid = list(body.patch_embed.grid_size)  # type: ignore[union-attr, arg-type]
        return torch.as_tensor(resample_abs_pos_embed(given, grid, num_prefix_tokens=own.shape[1] - math.prod(grid)))
    return given


def _hub(backbone: str) -> Mapping[str, Tensor]:
    found = find_backbone(backbone)
    try:
        if found.library == "timm":
            import timm

            return timm.create_model(found.name, pretrained=True).state_dict()
        if found.library == "torchvision":
            import torchvision

            return torchvision.models.get_model_weights(found.name).DEFAULT.get_state_dict(check_hash=True)  # type: ignore[no-any-return]
    except Exception as error:  # hub libraries raise many kinds when offline
        raise PlanError(
            f"the ImageNet weights of {backbone!r} cannot be fetched: {type(error).__name__}", "plan.weights",
            "go online, or give a local safetensors file with --weights PATH",
        ) from error  # fmt: skip
    raise PlanError(
        f"{backbone!r} has no ImageNet weights", "plan.weights", "leave --weights out, or choose a known backbone"
    )
