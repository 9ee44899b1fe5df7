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
from potency.networks.network import Network

# Where the tensors of a body, or of the encoder in it, stand in files: alone, in a network, in a bundle; then where
# others keep a transformer: CellViT, DINO and HIPT, the Segment Anything Model, what learned on several GPUs.
PLACES = (
    "", "body.", "net.body.", "encoder.body.", "body.encoder.body.", "net.body.encoder.body.",
    "encoder.", "backbone.", "module.backbone.", "image_encoder.", "module.",
)  # fmt: skip
OTHERS = {".mlp.fc1.": ".mlp.lin1.", ".mlp.fc2.": ".mlp.lin2."}  # how SAM calls parts of a block
NESTED = ("state_dict", "model_state_dict", "teacher", "model")  # where files of PyTorch keep them


def load_weights(network: nn.Module, source: str) -> int:
    """Load starting weights into the body of `network`, or into its encoder, in place; the rest stays fresh.

    Args:
        source: "imagenet" (downloaded by timm or torchvision, needs the network), the folder of a bundle (its first
            member), or the path of a safetensors file or of a state dict readable with `weights_only=True`.

    Returns:
        How many tensors were taken.

    Raises:
        PlanError: no such file, or the hub cannot be reached.
        BundleError: the file is damaged, holds code, or belongs to another network.
    """
    state = _hub(published(network)) if source == "imagenet" else read_tensors(Path(source))
    return adopt(network, state, source)


def fetched(backbone: str) -> bool:
    """Whether the ImageNet weights of a backbone are on this computer, or can be fetched to it now."""
    try:
        return bool(_hub(backbone))
    except PlanError:
        return False


def published(network: nn.Module) -> str:
    """The name of the backbone whose published weights a network can start from."""
    return list(_bodies(network))[-1]


def adopt(network: nn.Module, state: Mapping[str, Tensor], where: str) -> int:
    """Copy every tensor of `state` that belongs to the body; a first convolution is adapted to the channels.

    Of several bodies (a network that gives maps, and its encoder) the first that they belong to takes them.
    """
    for body in _bodies(network).values():
        taken, missing, learned = _matched(body, state)
        if len(missing) <= 0.02 * learned:
            body.load_state_dict({**body.state_dict(), **taken})
            return len(taken)
    raise BundleError(
        f"the weights belong to another network: {len(missing)} of {learned} tensors have no match "
        f"(the first is {missing[0]!r})", where, "give the weights of this very network, or change --network",
    )  # fmt: skip


def _bodies(network: nn.Module) -> Mapping[str, nn.Module]:
    found = network.bodies() if isinstance(network, Network) else {}
    if not found:
        raise PlanError(f"{type(network).__name__} takes no starting weights", "plan.weights", "leave --weights out")
    return found


def _matched(body: nn.Module, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str], int]:
    """The tensors of a body found in `state`, made to fit; the names of those not found, of how many."""
    own, first = body.state_dict(), f"{first_convolution(body)[0]}.weight"
    taken: dict[str, Tensor] = {}
    for name, value in own.items():
        names = [name.removeprefix("features."), *(place + each for place in PLACES for each in _called(name))]
        given = next((state[key] for key in names if key in state), None)
        if given is None:
            continue
        if name == first and given.ndim == value.ndim:
            given = adapt_channels(given, value.shape[1])
        given = _resampled(name, given, body)
        if given.shape == value.shape:
            taken[name] = given.to(value.dtype)
    learned = [name for name, value in own.items() if value.is_floating_point()]
    return taken, [name for name in learned if name not in taken], len(learned)


def _called(name: str) -> tuple[str, ...]:
    """A name and, where others have another for it, that one.

    >>> _called("blocks.0.mlp.fc1.bias")
    ('blocks.0.mlp.fc1.bias', 'blocks.0.mlp.lin1.bias')
    """
    return (name, *(name.replace(ours, theirs) for ours, theirs in OTHERS.items() if ours in name))


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
    if isinstance(state, Mapping):
        state = next((state[key] for key in NESTED if isinstance(state.get(key), Mapping)), state)
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

    Positions are interpolated (Dosovitskiy 2021), patches so that a token stays the same (FlexiViT, Beyer 2023). Of the
    Segment Anything Model, a smaller grid takes the corner of the positions, as CellViT does; those relative to one
    another are interpolated, as the model itself does for other images.
    """
    own = body.get_parameter(name) if name in dict(body.named_parameters()) else None
    if own is None or given.shape == own.shape:
        return given
    if "patch_embed." in name and given.ndim == 4:
        from timm.layers.patch_embed import resample_patch_embed

        return torch.as_tensor(resample_patch_embed(given, list(own.shape[2:])))
    parent, _, leaf = name.rpartition(".")
    if leaf.startswith("rel_pos_") and given.ndim == own.ndim == 2:
        return nn.functional.interpolate(given.T[None].float(), size=len(own), mode="linear")[0].T.to(given.dtype)
    if leaf == "pos_embed" and given.ndim == own.ndim == 4:
        from timm.layers.pos_embed import resample_abs_pos_embed_nhwc

        high, wide = own.shape[1:3]
        fits = high <= given.shape[1] and wide <= given.shape[2]
        return given[:, :high, :wide] if fits else torch.as_tensor(resample_abs_pos_embed_nhwc(given, [high, wide]))
    if leaf == "pos_embed" and given.ndim == own.ndim == 3:
        from timm.layers.pos_embed import resample_abs_pos_embed

        grid = list(body.get_submodule(parent).patch_embed.grid_size)  # type: ignore[union-attr, arg-type]
        return torch.as_tensor(resample_abs_pos_embed(given, grid, num_prefix_tokens=own.shape[1] - math.prod(grid)))
    return given


def _hub(backbone: str) -> Mapping[str, Tensor]:
    found = find_backbone(backbone)
    try:
        if found.library == "timm":
            import timm

            if timm.is_model(found.name):
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
