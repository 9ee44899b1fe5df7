"""The contract of every network in the list: shape, crop size, channels, weights, rows independent of their batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from potency.data.plan import Plan
from potency.errors import BundleError, PlanError
from potency.networks import BACKBONES, NETWORKS
from potency.networks.encoder import Encoder
from potency.networks.weights import adapt_channels, load_weights

LIGHT = ("tiny", "mobilenetv3", "squeezenet", "resnet18")


def test_tiny_is_small() -> None:
    assert sum(p.numel() for p in Encoder("tiny", 3, 10).parameters()) < 300_000


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_backbone_takes_any_channels_and_keeps_something_of_a_small_crop(backbone: str) -> None:
    tile, channels = 40, 5
    network = Encoder(backbone, channels, 3, tile).eval()
    with torch.inference_mode():
        batch = torch.rand(2, channels, tile, tile)
        found = network(batch)
        assert found["output"].shape == (2, 3)
        assert torch.isfinite(found["output"]).all()
        assert (
            network.enlarge == 1 and min(network.body(2 * batch - 1).shape[2:]) >= 3
        )  # a crop is not reduced to nothing
        alone = network(batch[:1])["output"]
    torch.testing.assert_close(alone, found["output"][:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tile", [8, 12, 20])
@pytest.mark.parametrize("backbone", LIGHT)
def test_the_smallest_crops_are_no_error(backbone: str, tile: int) -> None:
    network = Encoder(backbone, 1, 2, tile).eval()
    with torch.inference_mode():
        assert torch.isfinite(network(torch.rand(2, 1, tile, tile))["output"]).all()


@pytest.mark.parametrize("backbone", LIGHT)
def test_every_weight_learns(backbone: str) -> None:
    network = Encoder(backbone, 2, 3, 32)
    network(torch.rand(4, 2, 32, 32))["output"].square().sum().backward()
    still = [name for name, p in network.named_parameters() if p.grad is None]
    assert not still


@pytest.mark.parametrize("backbone", [*LIGHT, "vit_tiny_patch16_224"])
def test_a_crop_need_not_be_square(backbone: str) -> None:
    network = Encoder(backbone, 1, 2, (32, 64)).eval()
    with torch.inference_mode():
        assert network(torch.rand(2, 1, 32, 64))["output"].shape == (2, 2)


def test_a_transformer_by_its_timm_name() -> None:
    network = Encoder("vit_tiny_patch16_224", 1, 2, tile=32).eval()
    with torch.inference_mode():
        assert network(torch.rand(2, 1, 32, 32))["output"].shape == (2, 2)
    assert network.halo is None


def test_the_list_builds_from_a_plan() -> None:
    plan = Plan(channels=("a", "b"), classes=("x", "y"), network="tiny", tile=32)
    for build in NETWORKS.values():
        assert build(plan, 2)(torch.rand(2, 2, 32, 32))["output"].shape == (2, 2)


def test_an_unknown_network_is_refused_and_the_nearest_named() -> None:
    with pytest.raises(PlanError, match="did you mean 'resnet18'") as told:
        Encoder("resnet-18", 1, 2)
    assert told.value.where == "plan.network"
    with pytest.raises(PlanError, match="no network"):
        Encoder("torchvision/nothing", 1, 2)


def test_first_convolution_answers_alike_for_grey_and_colour() -> None:
    weight = torch.rand(8, 3, 3, 3)
    grey = torch.rand(1, 1, 9, 9)
    colour = torch.nn.functional.conv2d(grey.expand(1, 3, 9, 9), weight)
    torch.testing.assert_close(torch.nn.functional.conv2d(grey, adapt_channels(weight, 1)), colour)
    assert adapt_channels(weight, 5).shape == (8, 5, 3, 3)


def test_weights_come_from_a_local_file_and_adapt_to_the_channels(tmp_path: Path) -> None:
    torch.manual_seed(1)
    trained = Encoder("mobilenetv2", 3, 4)
    path = tmp_path / "weights.safetensors"
    save_file({k.removeprefix("features."): v.contiguous() for k, v in trained.body.state_dict().items()}, path)
    fresh = Encoder("mobilenetv2", 1, 4)
    assert load_weights(fresh, "mobilenetv2", str(path)) == len(trained.body.state_dict())
    theirs, ours = trained.body.state_dict(), fresh.body.state_dict()
    changed = [k for k in ours if ours[k].shape == theirs[k].shape and not torch.equal(ours[k], theirs[k])]
    assert not changed


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"a.weight": torch.zeros(3)}, path)
    with pytest.raises(BundleError, match="belong to another network"):
        load_weights(Encoder("tiny", 1, 2), "tiny", str(path))


def test_a_pickle_among_weights_is_never_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "weights.pt", tmp_path / "trace"
    # A hand-written pickle that would call os.mkdir: protocol 0, no import of any pickling library needed.
    path.write_bytes(f"cos\nmkdir\n(V{trace}\ntR.".encode())
    with pytest.raises(BundleError, match="never run"):
        load_weights(Encoder("tiny", 1, 2), "tiny", str(path))
    assert not trace.exists()


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no such weights file"):
        load_weights(Encoder("tiny", 1, 2), "tiny", str(tmp_path / "none.safetensors"))
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00garbage!")
    with pytest.raises(BundleError, match="not a safetensors file"):
        load_weights(Encoder("tiny", 1, 2), "tiny", str(damaged))


def test_real_imagenet_weights_fit(real_images: Path) -> None:
    path = real_images / "weights" / "mobilenet_v2_tf2" / "mobilenet_v2_torchvision.safetensors"
    assert load_weights(Encoder("mobilenetv2", 1, 2, 40), "mobilenetv2", str(path)) == 312
