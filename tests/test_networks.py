"""Encoders: crops of any size, normalisation, weights from a file or the hub, and what a plan takes from a network."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from potency.data.plan import Facts, Plan
from potency.errors import BundleError, PlanError
from potency.inference.engine import digest
from potency.learning.planning import planned
from potency.networks import NETWORKS
from potency.networks.encoder import Encoder
from potency.networks.weights import adapt_channels, load_weights
from potency.tasks import TASKS

CAFFE = torch.tensor([123.68, 116.779, 103.939])[:, None, None]
LIGHT = ("tiny", "mobilenetv3", "squeezenet", "resnet18")


def test_tiny_is_small() -> None:
    assert sum(p.numel() for p in Encoder("tiny", 3, 10).parameters()) < 300_000


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
    assert network.halo is None and network.stride == 4, "a patch of 16 px would leave 2 x 2 of them"


def test_patches_and_positions_of_a_transformer_are_resampled_for_the_crop(tmp_path: Path) -> None:
    torch.manual_seed(2)
    trained = timm.create_model("vit_tiny_patch16_224", depth=1, num_classes=0)
    path = tmp_path / "vit.safetensors"
    save_file(trained.state_dict(), path)
    network = Encoder("vit-tiny", 1, 2, (40, 56))
    with pytest.raises(BundleError, match="belong to another network"):
        load_weights(network, str(path))  # one block is not twelve
    network.body.blocks = network.body.blocks[:1]  # type: ignore[index]
    assert load_weights(network, str(path)) == len(trained.state_dict())
    patch, position = network.body.patch_embed.proj.weight, network.body.pos_embed  # type: ignore[union-attr]
    assert patch.shape == (192, 1, 8, 8) and position.shape == (1, 1 + 5 * 7, 192)  # type: ignore[union-attr]
    theirs = trained.pos_embed[0, 1:].reshape(14, 14, 192).mean((0, 1))
    torch.testing.assert_close(position[0, 1:].mean(0), theirs, rtol=0, atol=4e-3)  # type: ignore[index]
    torch.testing.assert_close(position[0, 0], trained.pos_embed[0, 0])  # type: ignore[index]


def test_values_are_normalised_as_the_weights_expect_them() -> None:
    image = torch.rand(2, 3, 16, 16)
    for name, expected in (("half", 2 * image - 1), ("none", image), ("caffe", 255 * image - CAFFE)):
        found = Encoder("tiny", 3, 2, 16, normalise=name).seen(image)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 if name != "caffe" else 0.05)
    whole = torchvision.models.MobileNet_V2_Weights.DEFAULT.transforms()
    theirs = torchvision.transforms.functional.normalize(image, whole.mean, whole.std)
    torch.testing.assert_close(Encoder("tiny", 3, 2, 16, normalise="imagenet").seen(image), theirs)
    grey = Encoder("tiny", 1, 2, 16, normalise="imagenet").seen(image[:, :1])
    torch.testing.assert_close(grey, (image[:, :1] - 0.449) / 0.226, rtol=1e-3, atol=1e-3)
    with pytest.raises(PlanError, match="no normalisation 'imagnet'") as told:
        Encoder("tiny", 3, 2, 16, normalise="imagnet")
    assert (told.value.where, told.value.mend) == ("plan.normalise", "did you mean 'imagenet'?")


def test_networks_that_differ_in_normalisation_alone_are_not_the_same_to_an_engine() -> None:
    torch.manual_seed(0)
    half, other = Encoder("tiny", 1, 2, 16), Encoder("tiny", 1, 2, 16, normalise="imagenet")
    other.load_state_dict(half.state_dict())
    assert digest(half) != digest(other)


FACTS = Facts(1000, ("phase",), 40, None, {"phase": (0.0, 255.0)}, ("a", "b"))


def test_a_plan_takes_what_its_network_states_and_obeys_what_is_said() -> None:
    task = TASKS["classify"]
    fresh = planned(FACTS, task)
    assert (fresh.rate, fresh.freeze, fresh.normalise) == (3e-3, 0.0, "half")
    assert planned(FACTS, task, network="vgg19").rate < planned(FACTS, task, network="vgg19-bn").rate
    assert planned(FACTS, task, network="vit-tiny").rate < 1e-3
    tuned = planned(FACTS, task, network="resnet18", weights="imagenet")
    assert (tuned.rate, tuned.freeze, tuned.normalise) == (1e-3, 0.3, "imagenet")
    said = planned(FACTS, task, network="mobilenetv2", weights="file", normalise="half", rate=0.01)
    assert (said.rate, said.freeze, said.normalise) == (0.01, 0.3, "half")
    forest = planned(FACTS, task, learner="estimator", network="forest")
    assert (forest.rate, forest.normalise) == (Plan().rate, "half")
    with pytest.raises(PlanError, match="did you mean 'resnet18'"):
        planned(FACTS, task, network="resnet-18")


def test_a_crop_that_no_enlarging_makes_fit_is_refused() -> None:
    with torch.device("meta"), pytest.raises(PlanError, match="takes no crop of 40 x 40 px") as told:
        Encoder("coatnet_nano_rw_224", 1, 2, 40)
    assert "divides by 32" in told.value.mend


@pytest.mark.parametrize("backbone", ["mobilenetv1", "squeezenet", "tiny"])
def test_weights_that_cannot_be_fetched_are_a_clear_error(backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(PlanError, match=f"{backbone!r} (cannot be fetched|has no ImageNet weights)") as told:
        load_weights(Encoder(backbone, 1, 2, 32), "imagenet")
    assert told.value.where == "plan.weights" and "--weights" in told.value.mend


def test_the_list_builds_from_a_plan() -> None:
    plan = Plan(channels=("a", "b"), classes=("x", "y"), network="tiny", tile=32)
    for kind, build in NETWORKS.items():
        mapped = kind in ("dense", "detector", "outliner")
        network = build(plan.but(network="unet") if mapped else plan, (2,))
        assert network(torch.rand(2, 2, 32, 32))["output"].shape == ((2, 2, 32, 32) if mapped else (2, 2))


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
    assert load_weights(fresh, str(path)) == len(trained.body.state_dict())
    theirs, ours = trained.body.state_dict(), fresh.body.state_dict()
    changed = [k for k in ours if ours[k].shape == theirs[k].shape and not torch.equal(ours[k], theirs[k])]
    assert not changed


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"a.weight": torch.zeros(3)}, path)
    with pytest.raises(BundleError, match="belong to another network"):
        load_weights(Encoder("tiny", 1, 2), str(path))


def test_a_pickle_among_weights_is_never_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "weights.pt", tmp_path / "trace"
    # A hand-written pickle that would call os.mkdir: protocol 0, no import of any pickling library needed.
    path.write_bytes(f"cos\nmkdir\n(V{trace}\ntR.".encode())
    with pytest.raises(BundleError, match="never run"):
        load_weights(Encoder("tiny", 1, 2), str(path))
    assert not trace.exists()


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no such weights file"):
        load_weights(Encoder("tiny", 1, 2), str(tmp_path / "none.safetensors"))
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00garbage!")
    with pytest.raises(BundleError, match="not a safetensors file"):
        load_weights(Encoder("tiny", 1, 2), str(damaged))


def test_real_imagenet_weights_fit(real_images: Path) -> None:
    path = real_images / "weights" / "mobilenet_v2_tf2" / "mobilenet_v2_torchvision.safetensors"
    assert load_weights(Encoder("mobilenetv2", 1, 2, 40), str(path)) == 312
    squeeze = real_images / "weights" / "squeezenet1_1_features" / "squeezenet1_1_features_bgr_torchvision.safetensors"
    assert load_weights(Encoder("squeezenet", 2, 2, 40), str(squeeze)) == 50


@pytest.mark.parametrize(
    "options",
    ["", ":depth=5:width=12:module=inception:pool=stride:attention=true", ":module=separable:pool=mean:activation=elu",
     ":module=residual:kernel=5:width=6"],
)  # fmt: skip
def test_plain_is_a_family_named_by_its_options(options: str) -> None:
    network = Encoder(f"plain{options}", 2, 3, (45, 60))
    network.train()(torch.rand(2, 2, 45, 60))["output"].sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert (network.halo is None) == ("attention" in options)


def test_options_that_no_network_has_are_explained() -> None:
    with pytest.raises(PlanError, match="no pool 'men'(.|\n)*did you mean 'mean'"):
        Encoder("plain:pool=men", 1, 2)
    with pytest.raises(PlanError, match="depth 0(.|\n)*depth of 1 or more"):
        Encoder("plain:depth=0", 1, 2)
    with pytest.raises(PlanError, match="cannot be built with {'deep': 3}"):
        Encoder("plain:deep=3", 1, 2)
    with pytest.raises(PlanError, match="no options of a network(.|\n)*plain:depth=4:width=16"):
        Encoder("plain:depth", 1, 2)
