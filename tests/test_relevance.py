"""Layer-wise relevance propagation: every unit accounted for on every backbone, and the same maps as a reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import pytest
import torch
from deeper import DEEPER
from torch import Tensor, nn

from potency.data.plan import Plan
from potency.errors import PlanError
from potency.explanation.method import background
from potency.explanation.relevance import propagate
from potency.explanation.rules import SHARES, Composite, Rule
from potency.explanation.tape import Tape
from potency.networks import BACKBONES
from potency.tasks import TASKS

TILE, CHANNELS = (45, 60), 2
Run = Callable[[Tensor], Mapping[str, Tensor]]


def lived(nets: nn.Module) -> nn.Module:
    """Batch norms as after training: their statistics, and so the biases they fold into, are not those of birth."""
    for layer in nets.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            assert layer.running_mean is not None and layer.running_var is not None
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 1.5)
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.normal_(0, 0.2)
    return nets.eval()


@lru_cache(maxsize=1)  # one test after the other asks for the same: to draw a hundred million weights takes seconds
def grown(name: str, dtype: torch.dtype, seed: int) -> tuple[Run, Tensor]:
    """A network, and where chance stood when it was drawn."""
    torch.manual_seed(seed)
    plan = Plan(channels=("a", "b"), classes=("x", "y", "z"), network=name, tile=TILE)
    nets = lived(TASKS["classify"].build(plan)).to(dtype)
    run: Run = lambda images: TASKS["classify"].forward(nets, {"image": images})  # type: ignore[arg-type]  # noqa: E731
    return run, torch.get_rng_state()


def network(name: str, dtype: torch.dtype = torch.float32, seed: int = 0) -> Run:
    """Chance goes on as if the network had been drawn just now."""
    run, state = grown(name, dtype, seed)
    torch.set_rng_state(state)
    return run


def alike(rule: Rule, attention: str = "given") -> Composite:
    """One rule everywhere but at the score and in sums of two."""
    return Composite(rule, rule, rule, Rule("epsilon"), Rule("signed"), attention)


def of(net: nn.Module) -> Run:
    return lambda images: {"output": net(images)}


def second(output: Mapping[str, Tensor]) -> Tensor:
    return output["output"][:, 1]


@pytest.mark.parametrize("beyond", [True, False], ids=["beyond a reference", "with biases"])
@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_accounts_for_every_unit(name: str, beyond: bool) -> None:
    if name in DEEPER and not beyond:
        pytest.skip("a smaller network of the same blocks stands for it")
    run, images = network(name), torch.rand(2, CHANNELS, *TILE)
    reference = torch.zeros_like(images) if beyond else None
    found = propagate(run, second, images, reference=reference)
    assert found.relevance.shape == images.shape and torch.isfinite(found.relevance).all()
    torch.testing.assert_close(found.score, second(run(images)).detach(), rtol=1e-4, atol=1e-5)
    assert len(found.steps) >= 5 and found.layer_error <= 1e-3 and float(found.sum_error.max()) <= 1e-3
    assert float((found.absorbed / found.score).abs().max()) <= 0.05  # the two may score alike but for rounding
    torch.testing.assert_close(found.input, found.relevance.sum((1, 2, 3)))


def test_beyond_a_reference_biases_keep_what_the_reference_scores() -> None:
    """Of a network of sums and rectifiers, exactly: the image is credited with what it adds to an empty one."""
    torch.manual_seed(0)
    net, images = vgg(), torch.rand(3, 2, 16, 16).double()
    empty = background(images).expand_as(images)
    found = propagate(of(net), second, images, reference=empty)
    torch.testing.assert_close(found.bias, second(of(net)(empty)).detach())
    torch.testing.assert_close(found.reference, found.bias)
    torch.testing.assert_close(found.share("input"), torch.ones(3).double(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.input, (second(of(net)(images)) - found.bias).detach())
    alone = propagate(of(net), second, empty.contiguous(), reference=empty)
    assert float(alone.relevance.abs().max()) == 0


@pytest.mark.parametrize("rule", SHARES)
@pytest.mark.parametrize("name", ["tiny", "mobilenetv3", "vit-tiny"])
def test_every_rule_accounts_for_every_unit(name: str, rule: str) -> None:
    chosen = Rule(rule)
    run, images = network(name, torch.float64, seed=1), torch.rand(2, CHANNELS, *TILE, dtype=torch.float64)
    for composite in (alike(chosen), alike(chosen).without_bias()):
        found = propagate(run, second, images, composite)  # some of these rules lose single precision on deep networks
        told = found.share("input").abs() + found.share("bias").abs() + found.share("absorbed").abs()
        assert found.layer_error <= 1e-6 and float((found.sum_error / told).max()) <= 1e-6
    assert float(found.share("bias").abs().max()) < 1e-3 or name.startswith("vit")  # positions are constants, too


@pytest.mark.parametrize("name", ["vit-tiny", "hybrid-vit", "hybrid-mobilevit"])
def test_attention_that_shares_accounts_for_every_unit(name: str) -> None:
    epsilon = Rule("epsilon")
    shared = alike(epsilon, "shared")
    run, images = network(name, torch.float64), torch.rand(2, CHANNELS, *TILE, dtype=torch.float64)
    found, given = propagate(run, second, images, shared), propagate(run, second, images)
    told = found.share("input").abs() + found.share("bias").abs() + found.share("absorbed").abs()
    assert found.layer_error <= 1e-6 and float((found.sum_error / told).max()) <= 1e-6
    assert any("softmax" in step for step, _ in found.steps) and not any("softmax" in step for step, _ in given.steps)


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_what_a_rule_loses_is_seen(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """The account is no remainder: a rule that gives away one part in a hundred too few is found out.

    The contract allows 1e-3 of what entered; a part in a hundred of it is lost, less where losses of both signs cancel.
    """
    right = SHARES["bounded"]

    def leaking(rule: Rule, relevance: Tensor, total: Tensor, size: Tensor) -> Any:
        return right(rule, relevance * 0.99, total, size)

    monkeypatch.setitem(SHARES, "bounded", leaking)
    found = propagate(network("tiny", seed=seed), second, torch.rand(2, CHANNELS, *TILE))
    assert 0.005 < found.layer_error < 0.0101 and float(found.sum_error.min()) > 0.01


@pytest.mark.parametrize("growth", [1.2, 3.0, 30.0])
def test_a_bounded_rule_lets_relevance_grow_so_far_and_no_further(growth: float) -> None:
    chance = torch.Generator().manual_seed(0)
    contributions = torch.randn(5000, 12, generator=chance).double()
    contributions[:100, 1:] = 0  # nothing cancels
    total, size = contributions.sum(1), contributions.abs().sum(1)
    made = Rule("bounded", growth=growth).share(torch.ones_like(total), total, size)
    parts = contributions * made.s[:, None] + contributions.abs() * made.t[:, None]
    torch.testing.assert_close(parts.sum(1), torch.ones_like(total))
    grown, freely = parts.abs().sum(1), size / total.abs()
    assert float(grown.max()) <= growth * (1 + 1e-9)
    # Where epsilon grows no more than that, it is epsilon; where it would, growth is at its bound.
    torch.testing.assert_close(grown, freely.clamp_max(growth))


def vgg() -> nn.Module:
    first = [nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    last = [nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(256, 3)]
    return nn.Sequential(*first, *last).double().eval()


@pytest.mark.parametrize("name", ["zplus", "epsilon", "alphabeta", "gamma", "flat", "box"])
def test_maps_are_those_of_a_reference_library(name: str) -> None:
    rules = pytest.importorskip("zennit.rules")
    from zennit.attribution import Gradient
    from zennit.composites import SpecialFirstLayerMapComposite
    from zennit.types import Activation, AvgPool, Convolution, Linear

    torch.manual_seed(0)
    net, images = vgg(), torch.rand(3, 2, 16, 16).double() * 2 - 1
    theirs = {"zplus": rules.ZPlus(), "epsilon": rules.Epsilon(1e-12), "alphabeta": rules.AlphaBeta(2, 1),
              "gamma": rules.Gamma(0.25), "flat": rules.ZPlus(), "box": rules.ZPlus()}[name]  # fmt: skip
    first = {"flat": rules.Flat(), "box": rules.ZBox(-1.0, 1.0)}.get(name, theirs)
    layers = [(Activation, rules.Pass()), (AvgPool, rules.Norm(1e-12)), (Convolution, theirs),
              (Linear, rules.Epsilon(1e-12))]  # fmt: skip
    chosen = SpecialFirstLayerMapComposite(layers, [(Convolution, first)])
    with Gradient(net, chosen) as attributor:
        _, expected = attributor(images, torch.eye(3).double()[[1, 1, 1]] * net(images).detach())
    inner = Rule(name if name in SHARES else "zplus", epsilon=0)
    composite = Composite(Rule(name, epsilon=0), inner, inner, Rule("epsilon", epsilon=0), Rule("signed"))
    found = propagate(of(net), second, images, composite)
    torch.testing.assert_close(found.relevance, expected, rtol=1e-3, atol=2e-4 * float(expected.abs().max()))


class Gated(nn.Module):
    """A map beside a gate of its own, written out in a way no library has a module for."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.weigh, self.tell = nn.Conv2d(2, 6, 3), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, image: Tensor) -> Tensor:
        seen = self.read(image)
        gate = torch.sigmoid(self.weigh(seen.mean((2, 3))))
        seen *= gate[:, :, None, None]
        seen = seen * torch.sigmoid(seen)
        seen += 0.5
        return torch.as_tensor(self.tell(seen.mean((2, 3))))


def test_a_gate_gets_nothing_and_takes_nothing() -> None:
    torch.manual_seed(0)
    found = propagate(of(Gated().eval()), second, torch.rand(2, 2, 8, 8), alike(Rule("signed")))
    assert found.layer_error <= 1e-5 and float(found.sum_error.max()) <= 1e-5
    assert float(found.share("absorbed").abs().max()) <= 1e-4
    assert not any(name == "mul" for name, _ in found.steps)


def test_a_tape_keeps_what_is_overwritten_in_place() -> None:
    def run(image: Tensor) -> Tensor:
        seen = image * 2
        seen -= 3
        return seen.relu_()

    tape, image = Tape(), torch.tensor([[1.0, 2.0]])
    assert torch.equal(tape.record(run, image), torch.tensor([[0.0, 1.0]]))
    assert [step.name for step in tape.steps] == ["mul", "sub", "relu"]
    assert [value.tolist() for value in tape.values] == [[[1.0, 2.0]], [[2.0, 4.0]], [[-1.0, 1.0]], [[0.0, 1.0]]]


def test_a_view_of_what_was_overwritten_is_refused() -> None:
    def run(image: Tensor) -> Tensor:
        seen = image * 2
        view = seen.view(2)
        seen += 1
        return view + 1

    with pytest.raises(NotImplementedError, match="overwritten in place"):
        Tape().record(run, torch.ones(1, 2))


def test_an_operation_without_a_rule_is_named() -> None:
    with pytest.raises(NotImplementedError, match="aten.exp"):
        propagate(lambda x: {"output": torch.exp(x).sum((2, 3))}, second, torch.rand(1, 2, 4, 4))


def test_what_is_not_linear_in_the_outputs_is_explained_by_its_slope() -> None:
    run, images = network("tiny"), torch.rand(2, CHANNELS, *TILE)
    found = propagate(run, lambda output: output["output"].softmax(1)[:, 1], images)
    assert float(found.sum_error.max()) <= 1e-4  # the constant of the slope is on the account of the biases
    apart = propagate(run, lambda output: output["output"][:, 1] - output["output"][:, 0], images)
    torch.testing.assert_close(apart.input + apart.bias + apart.absorbed, apart.score, rtol=1e-3, atol=1e-5)


def test_a_rule_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(PlanError, match="zplus"):
        Rule("zplu")
    with pytest.raises(PlanError, match="given or shared"):
        Composite(attention="half")
    with pytest.raises(PlanError, match="alpha 1 or more"):
        Rule("alphabeta", alpha=0.5)
