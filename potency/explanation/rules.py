"""Rules of layer-wise relevance propagation: how what reached a sum is shared among all that was added up in it.

A sum z = sum of c_j + b has contributions c_j = w_j x_j and a bias b. Every rule here is a choice of two messages, s
and t, from the relevance R of the sum, the sum itself, and the sum of sizes A = sum |c_j| + |b|; contribution c then
gets c s + |c| t. So one convolution forward and two back do for each of them, the bias gets its share by the same
words, and what a rule leaves to nobody is known as it is left, and never found by subtraction.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from potency.errors import PlanError, nearest

TINY = 1e-30
LAYERS = ("convolution", "dense", "product")  # kinds of operation that depth counts


@dataclass(frozen=True)
class Shared:
    """What a rule makes of one sum: the two messages, and the relevance nobody gets, all in the shape of the sum."""

    s: Tensor
    t: Tensor | None
    absorbed: Tensor | None = None

    def of(self, contribution: Tensor) -> Tensor:
        """What a contribution of the sum gets."""
        return contribution * self.s if self.t is None else contribution * self.s + contribution.abs() * self.t


@dataclass(frozen=True)
class Rule:
    """A rule by its name in the literature.

    Attributes:
        name: "signed" (contributions of the sum's own sign share alike; where sums are positive, the z-plus rule),
            "gamma" (those are favoured by a factor 1 + gamma; Montavon 2019, for sums of either sign), "bounded" (the
            least gamma, of each sum its own, by which relevance grows there no more than `growth` times: epsilon where
            little cancels, signed where all does), "epsilon" (all of them, with a stabiliser), "zplus" (positive ones
            only), "alphabeta" (alpha to positive ones, alpha - 1 taken from negative ones; Bach 2015), "flat" (every
            input alike, whatever its weight), "box" (z-box: inputs known to lie between `low` and `high`; Montavon
            2017).
        gamma, epsilon, alpha, growth: their constants; epsilon is a share of the mean size of the sums of a layer.
        bias: whether the bias takes its share, or leaves it to the contributions.
        low, high: range of the input for "box".
    """

    name: str = "signed"
    gamma: float = 0.25
    epsilon: float = 1e-6
    alpha: float = 2.0
    growth: float = 10.0
    bias: bool = True
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in (*SHARES, "flat", "box"):
            raise PlanError(f"there is no rule {self.name!r}", "rule", nearest(self.name, (*SHARES, "flat", "box")))
        if self.epsilon < 0 or self.gamma < 0 or self.alpha < 1 or self.growth <= 1:
            raise PlanError("epsilon and gamma are 0 or more, alpha 1 or more, growth over 1", "rule", "change them")

    def share(self, relevance: Tensor, total: Tensor, size: Tensor) -> Shared:
        """Messages for sums `total` of sizes `size` (as `total` where the rule asks for none), both with the bias."""
        return SHARES[self.name](self, relevance, total, size)

    @property
    def sized(self) -> bool:
        """Does it ask for the sum of sizes?"""
        return self.name != "epsilon"


def _signed(rule: Rule, relevance: Tensor, total: Tensor, size: Tensor) -> Shared:
    sign = _sign(total)
    half = _divided(relevance, total + sign * size)
    return Shared(half, half * sign, _where_none(relevance, size))


def _gamma(rule: Rule, relevance: Tensor, total: Tensor, size: Tensor) -> Shared:
    sign, more = _sign(total), rule.gamma / 2
    s = _divided(relevance, total * (1 + more) + sign * more * size)
    return Shared(s * (1 + more), s * sign * more, _where_none(relevance, size))


def _bounded(rule: Rule, relevance: Tensor, total: Tensor, size: Tensor) -> Shared:
    """With P and N the sums of contributions of the sum's own sign and of the other, in size: gamma lets relevance grow
    by (P (1 + gamma) + N) / (P (1 + gamma) - N), so this gamma by `growth` at most."""
    sign, with_it, against = _sign(total), size + total.abs(), size - total.abs()
    needed = (rule.growth + 1) / (rule.growth - 1)
    more = (_divided(against, with_it) * needed - 1).clamp_min(0) / 2
    s = _divided(relevance, total * (1 + more) + sign * more * size)
    return Shared(s * (1 + more), s * sign * more, _where_none(relevance, size))


def _epsilon(rule: Rule, relevance: Tensor, total: Tensor, size: Tensor) -> Shared:
    mean = total.abs().mean(tuple(range(1, total.ndim)), keepdim=True)
    added = _sign(total) * rule.epsilon * mean
    s = _divided(relevance, total + added)
    return Shared(s, None, s * added + _where_none(relevance, (total + added).abs()))


def _zplus(rule: Rule, relevance: Tensor, total: Tensor, size: Tensor) -> Shared:
    plus = _part(total + size, size)
    s = _divided(relevance, plus)
    return Shared(s, s, torch.where(plus.abs() > TINY, 0, relevance))


def _alphabeta(rule: Rule, relevance: Tensor, total: Tensor, size: Tensor) -> Shared:
    plus, minus = _part(total + size, size), _part(total - size, size)
    p = rule.alpha * _divided(relevance, plus)
    m = (rule.alpha - 1) * _divided(relevance, minus)
    left = torch.where(plus.abs() > TINY, 0, rule.alpha * relevance)
    taken = torch.where(minus.abs() > TINY, 0, (rule.alpha - 1) * relevance)
    return Shared(p - m, p + m, left - taken)


SHARES = {"signed": _signed, "gamma": _gamma, "bounded": _bounded, "epsilon": _epsilon, "zplus": _zplus,
          "alphabeta": _alphabeta}  # fmt: skip


def _sign(total: Tensor) -> Tensor:
    return torch.where(total < 0, -1.0, 1.0).to(total.dtype)


def _divided(relevance: Tensor, by: Tensor) -> Tensor:
    """Nothing where nothing was added up."""
    return torch.where(by.abs() > TINY, relevance / by, 0)


def _part(double: Tensor, size: Tensor) -> Tensor:
    """Twice the positive, or negative, part of a sum, without what rounding leaves where there is none."""
    return torch.where(double.abs() > 1e-6 * size, double, 0)


def _where_none(relevance: Tensor, size: Tensor) -> Tensor:
    return torch.where(size > TINY, 0, relevance)


@dataclass(frozen=True)
class Composite:
    """Which rule is used where; what the ones of `LADDER` are worth on cells stands in docs/explain.md.

    Attributes:
        first: the layers that read the image.
        early, late: convolutions, dense layers and products in the first and the second half of the network.
        score: the last layer, seen along what is explained.
        others: sums of two values, pools, and norms that follow no convolution.
        attention: "given" (weights are gates, relevance goes to what they look at) or "shared" (half goes through the
            softmax to what chose the weights; AttnLRP, Achtibat 2024).
    """

    first: Rule = Rule("bounded", growth=1.5)
    early: Rule = Rule("bounded", growth=1.5)
    late: Rule = Rule("bounded")
    score: Rule = Rule("epsilon")
    others: Rule = Rule("bounded")
    attention: str = "given"

    def __post_init__(self) -> None:
        if self.attention not in ("given", "shared"):
            raise PlanError(f"attention cannot be {self.attention!r}", "attention", "given or shared")

    def rule(self, kind: str, depth: float) -> Rule:
        """The rule for an operation of this kind; `depth` is 0 where the image is read and 1 before the score."""
        if kind not in LAYERS:
            return self.others
        if depth <= 0:
            return self.first
        return self.early if depth < 0.5 else self.late

    def without_bias(self) -> Composite:
        """The same with no share for any bias: contributions get all."""
        changed: dict[str, Any] = {part.name: getattr(self, part.name) for part in fields(self)}
        changed |= {name: replace(rule, bias=False) for name, rule in changed.items() if isinstance(rule, Rule)}
        return Composite(**changed)

    @classmethod
    def bounded(cls, early: float, late: float) -> Composite:
        """The rule "bounded" throughout, with these growths in the first half of the network and elsewhere."""
        low, high = Rule("bounded", growth=early), Rule("bounded", growth=late)
        return cls(low, low, high, Rule("epsilon"), high)


# What suits one network is noise or a blur of another: `choice.fitted` tries these on images (Pahde 2022).
LADDER = {
    "even": Composite.bounded(100, 100),
    "rising": Composite.bounded(5, 30),
    "guarded": Composite(),
    "calm": Composite.bounded(1.5, 1.5),
}
