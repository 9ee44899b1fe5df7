"""The contract of every network that gives a map: shape, stride, halo, channels, engine, bundle, heads, weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from sight import smooth
from torch import Tensor, nn

from potency.bundle import NetworkMember
from potency.bundle.member import Forward
from potency.data.plan import Facts, Plan
from potency.errors import BundleError, ImageError, PlanError
from potency.inference.engine import start_engine
from potency.inference.view import grid, windows
from potency.learning.cost import cost_of, seconds_a_step
from potency.learning.gradient import _free
from potency.learning.planning import planned
from potency.networks import DENSE, Dense, Encoder, Network
from potency.networks.weights import adopt, load_weights, published
from potency.tasks import TASKS

HEADS, CHANNELS, TILE = (1, 2, 3), 2, (32, 64)
# Each of the list as small as it goes, and what is built over other kinds of backbones: timm's, torchvision's, ours.
SMALL = {
    "unet": "unet:width=4",
    "unet-ronneberger": "unet-ronneberger:width=4:depth=3",
    "fpn": "fpn:encoder=tiny:width=8",
    "ric-unet": "ric-unet:width=4:depth=2",
    "cellvit": "cellvit:encoder=test_vit:width=8",
    "over timm": "unet:encoder=resnet18:width=4:depth=3",
    "over torchvision": "unet:encoder=mobilenetv2:width=4:depth=3",
    "over ours": "unet:encoder=plain:width=4",
}


@dataclass
class Built:
    """One network of maps, fresh, as the task `instances` builds it for three classes, and the crops it is shown."""

    name: str
    plan: Plan
    nets: nn.ModuleDict
    crops: Tensor

    @property
    def network(self) -> Dense:
        network = self.nets["net"]
        assert isinstance(network, Dense)
        return network


@pytest.fixture(scope="module", params=SMALL)
def built(request: pytest.FixtureRequest) -> Iterator[Built]:
    torch.manual_seed(0)
    plan = Plan(task="instances", channels=("a", "b"), classes=("x", "y", "z"), network=SMALL[request.param], tile=TILE)
    plan = plan.but(decoder="hover", fitting="extend", scale_by="image", scaling={"a": (0, 1), "b": (0, 1)})
    nets = TASKS["instances"].build(plan).eval()
    yield Built(request.param, plan, nets, torch.rand(2, CHANNELS, *TILE))


def test_the_contract_is_of_the_whole_list() -> None:
    assert set(SMALL) >= set(DENSE)


@pytest.mark.parametrize("name", DENSE)
def test_what_the_list_states_is_true(name: str) -> None:
    with torch.device("meta"):
        body = Dense(name, 3, (1,), 64 if name != "cellvit" else 256).body
    millions = sum(p.numel() for p in body.parameters()) / 1e6
    assert millions == pytest.approx(DENSE[name].millions, abs=0.005) and not DENSE[name].title.endswith(".")


def test_a_map_is_as_large_as_its_crop_and_a_row_does_not_depend_on_its_batch(built: Built) -> None:
    with torch.inference_mode():
        both, alone = built.network(built.crops)["output"], built.network(built.crops[:1])["output"]
    assert both.shape == (2, sum(HEADS), *TILE) and torch.isfinite(both).all() and not torch.equal(both[0], both[1])
    torch.testing.assert_close(alone, both[:1], rtol=1e-3, atol=1e-4 * float(both.abs().max()))
    assert all(side % built.network.stride == 0 for side in TILE)
    with pytest.raises(PlanError, match="does not divide by"):
        Dense(built.plan.network, 1, HEADS, 64 + built.network.stride // 2)
    for channels in (1, 3, 5):
        with torch.device("meta"):
            network = Dense(built.plan.network, channels, (4,), (64, 32))
            assert network(torch.empty(1, channels, 64, 32))["output"].shape == (1, 4, 64, 32)


def test_no_pixel_beyond_the_halo_changes_a_value_and_one_at_its_edge_does(built: Built) -> None:
    """Along a strip, from every place in a cell of the coarsest map, through the real wiring in double precision."""
    network = built.network
    if network.halo is None:
        image = torch.rand(1, CHANNELS, *TILE, requires_grad=True)
        network(image)["output"][0, :, 0, 0].sum().backward()
        assert image.grad is not None and image.grad[0, :, -1, -1].abs().sum() > 0, "what sees the whole image?"
        return
    body, stride = smooth(copy.deepcopy(network.body)), network.stride
    cells = -(-network.halo // stride) + 1
    image = torch.zeros(stride, CHANNELS, 32, (2 * cells + 1) * stride, dtype=torch.double, requires_grad=True)
    first, reach = cells * stride, []
    out = body(image)
    sum(out[k, :, 16, first + k].sum() for k in range(stride)).backward()
    for k in range(stride):
        touched = image.grad[k].abs().amax((0, 1)).nonzero().flatten()  # type: ignore[index]
        reach.append(max(first + k - int(touched[0]), int(touched[-1]) - first - k))
    assert max(reach) == network.halo


def test_the_compiled_engine_agrees_with_eager_torch(built: Built) -> None:
    engine = start_engine(Forward(TASKS["instances"], built.nets), built.crops.numpy(), device="cpu", engine="openvino")
    assert engine.name == "openvino" and engine.note == "" and engine.error <= 1e-3


def test_a_bundle_gives_the_same_maps_back(built: Built) -> None:
    member = NetworkMember(TASKS["instances"], built.plan, built.nets)
    files = dict(zip(member.suffixes(member.plan), member.dumps(), strict=True))
    again = NetworkMember.loads(files, TASKS["instances"], built.plan, "here")
    crops = built.crops[:1].numpy()
    np.testing.assert_array_equal(again.run(crops)["output"], member.run(crops)["output"])
    for count, mend in ((1, "joined by --channels"), (3, "in that order")):  # channels it was not trained on
        with pytest.raises(ImageError, match=f"has {count} channels?, the model takes 2(.|\n)*{mend}$"):
            member.outputs([{"image": np.random.default_rng(0).random((count, *TILE))}])


def test_every_weight_learns_and_only_the_decoder_while_frozen(built: Built) -> None:
    nets = copy.deepcopy(built.nets)
    net = nets["net"]
    for steps, freeze in ((1, 0.0), (10, 0.5)):
        net.zero_grad(set_to_none=True)
        _free(net, Plan(steps=steps, freeze=freeze), 0)
        net(built.crops)["output"].square().sum().backward()  # type: ignore[operator]
        learning = {name for name, p in net.named_parameters() if p.grad is not None}
        encoder = {name for name, _ in net.named_parameters() if name.startswith("body.encoder.")}
        every = {name for name, _ in net.named_parameters()}
        frozen = (encoder or {name for name in every if name.startswith("body.")}) if freeze else set()
        assert learning == every - frozen


def test_a_branch_is_a_head_of_its_own() -> None:
    network = Dense(SMALL["cellvit"], 1, HEADS, 32)
    network(torch.rand(2, 1, 32, 32))["output"][:, :1].square().sum().backward()  # the first head alone
    ways = [any(p.grad is not None and p.grad.abs().sum() > 0 for p in way.parameters()) for way in network.body.ways]  # type: ignore[union-attr]
    assert ways == [True, False, False] and network.body.skips[0][0].weight.grad is not None  # type: ignore[union-attr, index]


@pytest.mark.parametrize("name", ["unet:encoder=resnet18:width=4", "fpn:encoder=resnet18:width=8:depth=3"])
def test_published_weights_of_an_encoder_fit_by_name(name: str, tmp_path: Path) -> None:
    theirs = timm.create_model("resnet18", num_classes=7)
    save_file(theirs.state_dict(), tmp_path / "resnet18.safetensors")
    network = Dense(name, 1, (2,), 32)
    own = network.body.encoder.body.state_dict()  # type: ignore[union-attr]
    assert published(network) == "resnet18"
    assert load_weights(network, str(tmp_path / "resnet18.safetensors")) == len(own)
    now, all_theirs = network.body.encoder.body.state_dict(), theirs.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(now[key], all_theirs[key]) for key in own if key != "conv1.weight")
    torch.testing.assert_close(now["conv1.weight"], all_theirs["conv1.weight"].sum(1, keepdim=True))
    # A whole network takes the weights of its like, decoder and all, as they stand in a bundle.
    again = Dense(name, 1, (5,), 32)
    adopt(again, {f"net.{key}": value for key, value in network.state_dict().items()}, "here")
    assert all(torch.equal(a, b) for a, b in zip(again.body.parameters(), network.body.parameters(), strict=True))
    # So does its encoder from a bundle that learned without labels, or for one answer an image.
    learned = Encoder("resnet18", 1, 2, 48)
    adopt(again, {f"net.{key}": value for key, value in learned.state_dict().items()}, "here")
    assert torch.equal(again.body.encoder.body.conv1.weight, learned.body.conv1.weight)  # type: ignore[union-attr, arg-type]
    with pytest.raises(BundleError, match="belong to another network"):
        adopt(Dense("unet:encoder=plain", 1, (1,), 32), theirs.state_dict(), "here")


@pytest.mark.parametrize("place", ["encoder.", "teacher.backbone."])
def test_a_transformer_fits_as_cellvit_and_hipt_keep_it(place: str, tmp_path: Path) -> None:
    """What they saved for 160 px by a grid of 10 x 10, with a class token, beside decoders of their own."""
    theirs = timm.create_model("test_vit", num_classes=3, img_size=160)
    state = {place + name: value for name, value in theirs.state_dict().items()}
    if place == "teacher.backbone.":  # as DINO saves it; the others as arrays alone
        state = {name.removeprefix("teacher."): value for name, value in state.items()}
        torch.save({"epoch": 3, "student": {}, "teacher": state}, tmp_path / "told.pth")
    else:
        save_file({**state, "decoder0.0.block.0.weight": torch.ones(2)}, tmp_path / "told.safetensors")
    network = Dense("cellvit:encoder=test_vit:width=8", 3, HEADS, 160)
    load_weights(network, str(next(tmp_path.glob("told.*"))))
    own = network.body.encoder.body.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(value, state[place.removeprefix("teacher.") + name]) for name, value in own.items())
    small = Dense("cellvit:encoder=test_vit:width=8", 3, HEADS, 96)
    load_weights(small, str(next(tmp_path.glob("told.*"))))
    assert small.body.encoder.body.pos_embed.shape[1] == 6 * 6 + 1  # type: ignore[union-attr]


def test_the_encoder_of_the_segment_anything_model_fits_by_its_own_names(tmp_path: Path) -> None:
    """Its names (image_encoder, lin1, lin2), positions on two axes of which a small grid takes the corner."""
    from timm.models.vision_transformer_sam import VisionTransformerSAM

    def sam(side: int) -> VisionTransformerSAM:
        return VisionTransformerSAM(img_size=side, embed_dim=16, depth=2, num_heads=2, window_size=2, num_classes=0,
                                    global_attn_indexes=(1,), use_rel_pos=True, neck_chans=8)  # fmt: skip

    class Holder(Network):
        def __init__(self, body: nn.Module) -> None:
            super().__init__()
            self.body = body

        def bodies(self) -> dict[str, nn.Module]:
            return {"samvit": self.body}

    theirs, ours = sam(128), sam(64)
    for value in theirs.parameters():
        nn.init.normal_(value)
    state = {f"image_encoder.{name.replace('mlp.fc', 'mlp.lin')}": v for name, v in theirs.state_dict().items()}
    save_file({**state, "mask_decoder.weight": torch.ones(3)}, tmp_path / "sam.safetensors")
    assert load_weights(Holder(ours), str(tmp_path / "sam.safetensors")) == len(ours.state_dict())
    assert torch.equal(ours.blocks[0].mlp.fc1.weight, theirs.blocks[0].mlp.fc1.weight)
    assert torch.equal(ours.pos_embed, theirs.pos_embed[:, :4, :4])
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():  # relative positions as the model itself makes them fit an image of this size
        theirs.pos_embed = nn.Parameter(theirs.pos_embed[:, :4, :4])
        torch.testing.assert_close(ours.eval().forward_features(image), theirs.eval().forward_features(image))


def test_a_plan_takes_what_the_encoder_states_and_what_it_costs_is_told() -> None:
    facts = Facts(40, ("a",), 64, None, {"a": (0.0, 1.0)})
    task = TASKS["instances"]
    assert planned(facts, task).rate == 3e-3
    tuned = planned(facts, task, network="unet:encoder=resnet18", weights="imagenet")
    assert (tuned.rate, tuned.freeze, tuned.normalise) == (1e-3, 0.3, "imagenet")
    small = planned(facts, task, network="unet:width=4", batch=2, tile=32)
    large = small.but(network="unet:encoder=resnet18:depth=4")
    costs = [cost_of(task, plan) for plan in (small, large)]
    assert 4 < costs[1].flop / costs[0].flop < 400 and costs[1].parameters > 2e6 and costs[0].layers > 5
    assert 0 < seconds_a_step(task, small) < 5


def test_what_gives_no_maps_is_refused_and_the_way_named() -> None:
    for name, told in (
        ("resnet18", "a backbone is an encoder: unet:encoder=resnet18"), ("unet-", "did you mean 'unet'"),
        ("unet:encoder=squeezenet", "take another encoder"), ("unet:encoder=bag", "take another encoder"),
        ("cellvit:encoder=resnet18", "unet:encoder=NAME"), ("fpn:wide=3", "wide"), ("unet:depth=9", "1 to 4"),
        ("unet:encoder=resnet-18", "did you mean 'resnet18'"),
    ):  # fmt: skip
        with pytest.raises(PlanError) as error:
            Dense(name, 1, (1,), 64)
        assert told in str(error.value)


@pytest.mark.parametrize("shape", [(40, 50), (64, 64), (300, 170)])
def test_a_network_that_sees_everything_answers_every_pixel_once(shape: tuple[int, int]) -> None:
    plan = Plan(tile=64, fitting="extend")
    seen = np.zeros(shape, int)
    for tile in windows(shape, plan):
        window = tile.window(shape)
        assert all(part.stop - part.start <= 64 for part in window.values())
        seen[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] += 1
    assert (seen == 1).all() and all(tile.halo == 0 for tile in grid(shape, plan))
