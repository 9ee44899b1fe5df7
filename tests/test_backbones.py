"""The contract of every backbone in the list, built once: shape, stride, halo, channels, engine, bundle, weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import timm
import torch
import torchvision
from deeper import DEEPER
from sight import smooth
from torch import Tensor, nn

from potency.bundle import NetworkMember
from potency.bundle.member import Forward
from potency.data.plan import Plan
from potency.errors import PlanError
from potency.inference.engine import start_engine
from potency.networks import BACKBONES, Encoder
from potency.networks.backbones import find_backbone
from potency.networks.bag import Bag
from potency.networks.bodies import expected_values, first_convolution
from potency.networks.reach import trace
from potency.networks.weights import adapt_channels, adopt
from potency.tasks import TASKS

TILE, CHANNELS = (45, 60), 2  # the oblong crops of imaging flow cytometry


@dataclass
class Built:
    """One backbone, fresh, and the crops it is shown."""

    name: str
    plan: Plan
    nets: nn.ModuleDict
    crops: Tensor

    @property
    def network(self) -> Encoder:
        network = self.nets["net"]
        assert isinstance(network, Encoder)
        return network


@pytest.fixture
def once_a_family(built: Built) -> Built:
    if built.name in DEEPER:
        pytest.skip("a smaller network of the same blocks stands for it")
    return built


@pytest.fixture(scope="module", params=BACKBONES)
def built(request: pytest.FixtureRequest) -> Iterator[Built]:
    name = str(request.param)
    torch.manual_seed(0)
    plan = Plan(channels=("a", "b"), classes=("x", "y", "z"), network=name, tile=TILE)
    nets = TASKS["classify"].build(plan).eval()
    yield Built(name, plan, nets, torch.rand(2, CHANNELS, *TILE))


def shapes_only(name: str, channels: int, tile: int | tuple[int, int]) -> Encoder:
    with torch.device("meta"):
        return Encoder(name, channels, 3, tile)


def test_output_and_embedding_of_a_row_do_not_depend_on_its_batch(built: Built) -> None:
    with torch.inference_mode():
        both, alone = built.network(built.crops), built.network(built.crops[:1])
    assert both["output"].shape == (2, 3)
    assert both["embedding"].shape == (2, built.network.linear.in_features)
    for name, values in both.items():
        assert torch.isfinite(values).all() and not torch.equal(values[0], values[1]), name
        torch.testing.assert_close(alone[name], values[:1], rtol=1e-3, atol=1e-4 * float(values.abs().max()))


def test_the_compiled_engine_agrees_with_eager_torch(once_a_family: Built) -> None:
    engine = start_engine(
        Forward(TASKS["classify"], once_a_family.nets), once_a_family.crops.numpy(), device="cpu", engine="openvino"
    )
    assert engine.name == "openvino" and engine.note == "" and engine.error <= 1e-3


def test_a_bundle_gives_the_same_answers_back(once_a_family: Built) -> None:
    member = NetworkMember(TASKS["classify"], once_a_family.plan, once_a_family.nets)
    files = dict(zip(member.suffixes(member.plan), member.dumps(), strict=True))
    again = NetworkMember.loads(files, TASKS["classify"], once_a_family.plan, "here")
    crops = once_a_family.crops[:1].numpy()
    np.testing.assert_array_equal(again.run(crops)["output"], member.run(crops)["output"])


def test_the_gradient_reaches_the_first_convolution(built: Built) -> None:
    _, first = first_convolution(built.network.body)
    built.network(built.crops[:1])["output"].square().sum().backward()
    assert first.weight.grad is not None and torch.isfinite(first.weight.grad).all()
    assert float(first.weight.grad.abs().sum()) > 0
    built.network.zero_grad(set_to_none=True)


def test_stride_is_the_step_of_the_coarsest_map(built: Built) -> None:
    network = built.network
    if len(shape := trace(network.body, CHANNELS, TILE).shape) == 2:  # tokens: each is the patch of one kernel
        if isinstance(network.body, Bag):
            assert network.stride == network.body.patch
            return
        patch = network.body.patch_embed  # type: ignore[union-attr]
        before = trace(patch.backbone, CHANNELS, (64, 64)).shape if hasattr(patch, "backbone") else (0, 0, 64, 64)
        assert network.stride == 64 // before[2] * patch.proj.stride[0]  # type: ignore[operator, union-attr]
        return
    assert min(shape[2:]) >= 3, "a crop is reduced to nothing"
    wider = trace(network.body, CHANNELS, (TILE[0] + 2 * network.stride, TILE[1] + 3 * network.stride)).shape
    assert (wider[2] - shape[2], wider[3] - shape[3]) == (2, 3)


def test_no_pixel_beyond_the_halo_changes_a_value_and_one_at_its_edge_does(built: Built) -> None:
    """Along a strip as long as it must be, through the real wiring in double precision."""
    network = built.network
    if network.halo is None:
        gated = [type(m).__name__ for m in network.body.modules()]
        assert any("Squeeze" in n or "Attention" in n for n in gated), f"what of {built.name} sees the whole input?"
        return
    body = smooth(copy.deepcopy(network.body))
    values = network.halo // network.stride + 2
    high = next(h for h in range(8, TILE[0] + 1) if fits(network.body, h))
    image = torch.zeros(1, CHANNELS, high, (2 * values + 1) * network.stride, dtype=torch.double, requires_grad=True)
    middle = body(image)[..., values].sum()
    (slope,) = torch.autograd.grad(middle, image)
    touched = slope.abs().amax((0, 1, 2)).nonzero().flatten()
    first, last = int(touched[0]), int(touched[-1])
    cell = (values * network.stride, (values + 1) * network.stride - 1)
    assert first >= cell[0] - network.halo and last <= cell[1] + network.halo
    assert first == cell[0] - network.halo or last == cell[1] + network.halo, "the halo is no larger than it must be"


def fits(body: nn.Module, height: int) -> bool:
    try:
        return 0 not in trace(body, CHANNELS, (height, TILE[1])).shape
    except RuntimeError:
        return False


def test_published_weights_fit_by_name_whatever_the_crop_and_the_channels(built: Built) -> None:
    """Names and shapes as the library writes them; the values are numbers that must arrive where they belong."""
    found = find_backbone(built.name)
    if found.library == "potency":
        return  # ours are published nowhere
    body = built.network.body
    with torch.device("meta"):
        theirs = timm.create_model(found.name) if found.library == "timm" else torchvision.models.get_model(found.name)
    shapes = [(key, value) for key, value in theirs.state_dict().items() if value.is_floating_point()]
    state = {key: torch.tensor(i / 1000).expand(value.shape) for i, (key, value) in enumerate(shapes)}
    own = {key: value for key, value in body.state_dict().items() if value.is_floating_point()}
    assert adopt(built.network, state, "here") == len(own)
    first = f"{first_convolution(body)[0]}.weight"
    for key, value in body.state_dict().items():
        if (
            key not in own or "patch_embed.proj.weight" in key
        ):  # a smaller patch keeps the size of its answer, not its values
            continue
        given = adapt_channels(state[key], CHANNELS) if key == first else state[key]
        torch.testing.assert_close(value, given.flatten()[0].expand(value.shape))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_what_the_list_states_is_true_and_a_crop_of_40_px_keeps_something(backbone: str) -> None:
    found = find_backbone(backbone)
    network = shapes_only(backbone, 5, 40)
    first = first_convolution(network.body)[1]
    shape = trace(network.body, 5, (40, 40)).shape
    assert network.enlarge == 1 and first.in_channels == 5 and (len(shape) == 2 or min(shape[2:]) >= 3)
    if len(shape) == 2:  # its patches and positions depend on the crop: as published
        first = first_convolution((network := shapes_only(backbone, 5, 224)).body)[1]
    colour = sum(p.numel() for p in network.body.parameters()) - first.weight.numel() * 2 // 5
    assert colour / 1e6 == pytest.approx(found.millions, abs=0.005)
    assert found.title and not found.title.endswith(".")
    if found.library == "timm":
        assert timm.is_model_pretrained(found.name), "there are no weights to start from"
        mean = timm.models.get_pretrained_cfg(found.name).mean[0]
        assert expected_values(backbone) == {0.5: "half", 0.485: "imagenet", 0.0: "none"}[mean]
    elif found.library == "torchvision":
        told = torchvision.models.get_model_weights(found.name).DEFAULT.transforms()
        assert expected_values(backbone) == "imagenet" and (told.mean[0], told.std[0]) == (0.485, 0.229)


@pytest.mark.parametrize(
    ("name", "features", "tile"),
    [("torchvision/inception_v3", 2048, 96), ("torchvision/mnasnet0_5", 1280, 64),
     ("swin_tiny_patch4_window7_224", 768, 64)],
)  # fmt: skip
def test_other_networks_of_the_libraries_give_maps_before_their_pools(name: str, features: int, tile: int) -> None:
    network = shapes_only(name, 1, tile)
    assert trace(network.body, 1, (tile, tile)).shape[1] == features
    assert network.linear.in_features == features


def test_a_network_of_torchvision_that_is_no_chain_is_refused() -> None:
    with pytest.raises(PlanError, match="vit_b_16 is no chain"):
        shapes_only("torchvision/vit_b_16", 1, 64)
