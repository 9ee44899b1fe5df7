"""Layer-wise relevance propagation: the score of an image, handed back step by step, every unit accounted for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from potency.explanation.account import Account
from potency.explanation.linear import LINEAR, Averaging, Convolution, Directed, Linear, batch_norm, norm_of
from potency.explanation.rules import LAYERS, Composite, Rule, Shared
from potency.explanation.tape import Slot, Step, Tape, numbers_of
from potency.explanation.wiring import MOVING, PASSING, SOFTMAX, Wiring

Run = Callable[[Tensor], Mapping[str, Tensor]]
Score = Callable[[Mapping[str, Tensor]], Tensor]


def propagate(
    run: Run, focus: Score, images: Tensor, composite: Composite | None = None, reference: Tensor | None = None
) -> Account:
    """Explain `focus` of what a network gives for each image (Bach 2015; Montavon 2019).

    Batch norms are folded into the convolution before them, sums are shared by what each side brings, gates are taken
    as given. Nothing of it knows a module: rules belong to the operations torch calls, so any network will do.

    Args:
        run: images (N, C, H, W) to named outputs, as in inference (no dropout, batch norm as learned).
        focus: named outputs to one score a sample (N,); what is not linear in them is explained by its slope there, and
            what the slope leaves is a constant, which goes to the account of the biases.
        images: the batch.
        composite: which rule where; by default that of `Composite()`.
        reference: images (N, C, H, W) that show nothing. What is handed back is then what the images have beyond them,
            in every layer, so that biases cancel: they keep what the score of the reference is (the differences of
            Shrikumar 2017, under the rules of the composite).

    Raises:
        NotImplementedError: relevance reaches an operation that has no rule.

    >>> def run(images): return {"output": torch.relu(images).sum((2, 3))}
    >>> found = propagate(run, lambda named: named["output"][:, 0], torch.ones(1, 1, 2, 2))
    >>> float(found.score), float(found.input), float(found.bias), float(found.absorbed)
    (4.0, 4.0, 0.0, 0.0)
    """
    tape, beside = Tape(), None if reference is None else Tape()
    outputs = tape.record(run, images)
    empty = None if beside is None or reference is None else focus(beside.record(run, reference)).detach()
    with torch.enable_grad():
        leaves = {name: value.detach().requires_grad_() for name, value in outputs.items()}
        score = focus(leaves)
        slopes = torch.autograd.grad(score.sum(), list(leaves.values()), allow_unused=True)
    with torch.no_grad():
        walk = _Walk(tape, beside, composite or Composite(), images)
        walk.bias += score.detach()
        for value, slope in zip(outputs.values(), slopes, strict=True):
            if slope is not None:
                walk.start(value, slope)
        return walk.back(score.detach(), empty)


class _Walk:
    """One way back along a tape."""

    def __init__(self, tape: Tape, beside: Tape | None, composite: Composite, images: Tensor) -> None:
        self.tape, self.beside, self.composite, self.images = tape, beside, composite, images
        self.wiring = Wiring(tape, composite.attention == "given")
        self.found: dict[int, Tensor] = {}  # number of a value -> its relevance
        self.bias, self.absorbed = (images.new_zeros(len(images)) for _ in range(2))
        self.steps: list[tuple[str, float]] = []
        self.deepest = max(1, max(self.wiring.ranks) - 1)

    def told(self, number: int) -> Tensor:
        """A value, or how far it is from that of the reference: what is shared in sums."""
        value = self.tape.values[number]
        return value if self.beside is None else value - self.beside.values[number]

    def start(self, value: Tensor, slope: Tensor) -> None:
        """Relevance of an output of the network; a dense layer that gives it is seen along the slope, as one sum."""
        number = self.tape.number(value)
        if number is None:  # it depends on no image: its part of the score stays with the constants
            return
        step = self.wiring.maker.get(number)
        if step is None or step.name != "addmm" or self.wiring.carrying(step) != [1] or number in self.wiring.readers:
            told = self.told(number) * slope
            self.bias -= self.per_sample(told)
            self.give(number, told)
            return
        bias, _, weight = self.tape.read(step)[0]
        bias = (slope * bias).sum(1, keepdim=True) if self.beside is None else None
        sums = Directed(self.told(step.args[1].number), slope @ weight.T, bias)
        total = sums.onward(sums.x, size=False) + (0 if bias is None else bias)
        self.bias -= total[:, 0]
        self.give(step.args[1].number, self.shared("score", sums, total, total, self.composite.score))

    def give(self, number: int, relevance: Tensor) -> None:
        self.found[number] = self.found[number] + relevance if number in self.found else relevance

    def back(self, score: Tensor, empty: Tensor | None) -> Account:
        """All steps, the last first."""
        for step in reversed(self.tape.steps):
            outs = [None if number is None else self.found.pop(number, None) for number in step.outs]
            if any(out is not None for out in outs):
                self.step(step, outs)
        relevance = self.found.get(0, torch.zeros_like(self.images))
        empty = torch.zeros_like(score) if empty is None else empty
        return Account(relevance, score, self.per_sample(relevance), self.bias, self.absorbed, empty, self.steps)

    def step(self, step: Step, outs: Sequence[Tensor | None]) -> None:
        relevance = outs[0]
        if step.name in MOVING or relevance is None:
            self.move(step, outs)
        elif step.name in PASSING:
            self.give(step.ins()[0], relevance)
        elif step.name in ("add", "sub"):
            self.add(step, relevance)
        elif step.name in ("mul", "div"):
            self.multiply(step, relevance)
        elif step.name in SOFTMAX:
            self.softmax(step, relevance)
        elif step.name in LINEAR:
            self.linear(step, relevance)
        else:
            raise NotImplementedError(f"no rule says how relevance passes {step.op}")

    def linear(self, step: Step, relevance: Tensor) -> None:
        made, total = LINEAR[step.name], self.told(step.outs[0] or 0)
        args = self.tape.read(step)[0]
        sums: Linear | None
        if made is batch_norm and (inner := self.wiring.before_norm(step)) is not None:
            layer = LINEAR["convolution"](inner, self.tape.read(inner)[0], [0])
            assert isinstance(layer, Convolution)
            sums, number = layer.folded(*norm_of(step, args)), inner.args[0].number
        else:
            places = self.wiring.carrying(step)
            if step.name == "bmm" and len(places) == 2:  # a product of two that both depend on the image: half each
                self.product(step, args, total, relevance / 2)
                return
            sums, number = made(step, args, places), step.args[places[0]].number
        if sums is None:
            raise NotImplementedError(f"no rule says how relevance passes {step.op} of two values that are no gates")
        self.give(number, self.through(step.name, sums, total, relevance, number))

    def product(self, step: Step, args: tuple[Any, ...], total: Tensor, half: Tensor) -> None:
        for place in (0, 1):
            sums, number = LINEAR[step.name](step, args, [place]), step.args[place].number
            assert sums is not None
            self.give(number, self.through(step.name, sums, total, half, number))

    def softmax(self, step: Step, relevance: Tensor) -> None:
        """Its first-order terms; the constant of the expansion is a bias (Achtibat 2024, proposition 3.1)."""
        x, s, axis = self.tape.values[step.ins()[0]], self.tape.values[step.outs[0] or 0], step.args[1]
        found = x * (relevance - s * relevance.sum(axis, keepdim=True))
        constant = relevance * (1 - x + (s * x).sum(axis, keepdim=True))
        self.bias += self.per_sample(constant)
        self.check(step.name, relevance, found, self.per_sample(constant), 0)
        self.give(step.ins()[0], found)

    def through(self, name: str, sums: Linear, total: Tensor, relevance: Tensor, number: int) -> Tensor:
        """Relevance of what a linear operation read: the value of this number."""
        rank = self.wiring.ranks[number]
        if self.beside is not None:
            sums = replace(sums, x=self.told(number), bias=None)  # type: ignore[type-var]
            added = sums.onward(sums.x, size=False)
            # What comes of weights that are others for the reference is a constant; where they are the same, the
            # difference of two large outputs would only be rounding.
            sums = sums if sums.fixed else replace(sums, bias=total - added)  # type: ignore[type-var]
            total = added if sums.fixed else total
        if rank == 0 and sums.kind not in LAYERS:  # how the image is scaled or enlarged before it is looked at
            return _spread(sums, relevance) if isinstance(sums, Averaging) else relevance
        rule = self.composite.rule(sums.kind, rank / self.deepest)
        if rule.name == "box":
            return self.box(name, sums, relevance, rule)
        if rule.name != "flat":
            return self.shared(name, sums, total, relevance, rule)
        if hasattr(sums, "weight"):
            sums = replace(sums, weight=torch.ones_like(sums.weight))  # type: ignore[type-var]
        found = _spread(sums, relevance)
        self.check(name, relevance, found, 0, 0)
        return found

    def shared(self, name: str, sums: Linear, total: Tensor, relevance: Tensor, rule: Rule) -> Tensor:
        """The share of each value read; what the bias got, and nobody, goes to their accounts."""
        bias, size = sums.bias, sums.onward(sums.x.abs(), size=True) if rule.sized else total
        if bias is not None and not rule.bias:
            bias, total = None, sums.onward(sums.x, size=False)
        made = rule.share(relevance, total, size if bias is None or not rule.sized else size + bias.abs())
        found = sums.x * sums.back(made.s, size=False)
        if made.t is not None:
            found = found + sums.x.abs() * sums.back(made.t, size=True)
        self.settle(name, relevance, found, made, None if bias is None else made.of(bias))
        return found

    def box(self, name: str, sums: Linear, relevance: Tensor, rule: Rule) -> Tensor:
        """z-box: contributions w x - w+ low - w- high, none of them negative while the input is in its range."""
        x, half = sums.x - (rule.low + rule.high) / 2, torch.full_like(sums.x, (rule.high - rule.low) / 2)
        total = sums.onward(x, size=False) + sums.onward(half, size=True)
        made = Rule("epsilon").share(relevance, total, total.abs())
        found = x * sums.back(made.s, size=False) + half * sums.back(made.s, size=True)
        self.settle(name, relevance, found, made, None)
        return found

    def add(self, step: Step, relevance: Tensor) -> None:
        """A sum of two: by what each brings; a constant among them is a bias."""
        args, kwargs = self.tape.read(step)
        slots = [arg.number if isinstance(arg, Slot) else None for arg in step.args[:2]]
        one = next(number for number in slots if number is not None)
        if None in slots and (self.beside is not None or self.wiring.ranks[one] == 0):
            # A constant is no difference; and before the image is looked at it only gets another zero.
            self.give(one, relevance.sum_to_size(self.tape.values[one].shape))
            return
        factor = kwargs.get("alpha", 1) * (-1 if step.name == "sub" else 1)
        told = [arg if number is None else self.told(number) for arg, number in zip(args, slots, strict=False)]
        total = told[0] + told[1] * factor
        sides = [torch.as_tensor(side, dtype=total.dtype).expand(total.shape) for side in (told[0], told[1] * factor)]
        made = self.composite.others.share(relevance, total, sides[0].abs() + sides[1].abs())
        parts = [made.of(side) for side in sides]
        for number, part in zip(slots, parts, strict=True):
            if number is not None:
                self.give(number, part.sum_to_size(self.tape.values[number].shape))
        constant = [part for number, part in zip(slots, parts, strict=True) if number is None]
        found = parts[0] + parts[1] - constant[0] if constant else parts[0] + parts[1]
        self.settle(step.name, relevance, found, made, constant[0] if constant else None)

    def multiply(self, step: Step, relevance: Tensor) -> None:
        """What is weighed by a gate or a constant gets it all; of two that are no gates, each gets half."""
        places = [0] if step.name == "div" else [i for i in self.wiring.carrying(step) if i < 2]
        if not all(isinstance(step.args[i], Slot) for i in places):
            raise NotImplementedError("no rule says how relevance passes a division by what depends on the image")
        values = {i: self.tape.values[step.args[i].number] for i in places}
        # A value a channel that weighs a whole map is a gate, whatever made it.
        whole = [i for i in places if values[i].shape == relevance.shape] or places
        for place in whole:
            self.give(step.args[place].number, relevance.sum_to_size(values[place].shape) / len(whole))

    def move(self, step: Step, outs: Sequence[Tensor | None]) -> None:
        """Relevance goes where the values came from; what came from a constant is a bias's."""
        args, kwargs = self.tape.read(step)
        leaves: list[Tensor] = []

        def leaf(value: Any) -> Any:
            if isinstance(value, Tensor) and value.is_floating_point():
                leaves.append(value.detach().requires_grad_())
                return leaves[-1]
            return [leaf(inner) for inner in value] if isinstance(value, list | tuple) else value

        with torch.enable_grad():
            made = step.op(*leaf(args), **kwargs)
            made = made if isinstance(made, tuple | list) else (made,)
            told = [(value, out) for value, out in zip(made, outs, strict=True) if out is not None]
            parts = torch.autograd.grad([v for v, _ in told], leaves, [out for _, out in told], allow_unused=True)
        for number, part in zip(numbers_of(step.args), parts, strict=True):
            if part is not None and number is not None:
                self.give(number, part)
            elif part is not None:
                self.bias += self.per_sample(part)

    def settle(self, name: str, relevance: Tensor, found: Tensor, made: Shared, bias: Tensor | None) -> None:
        """Write what the bias got, and nobody, on their accounts, and see that nothing else is missing."""
        kept = 0 if bias is None else self.per_sample(bias)
        lost = 0 if made.absorbed is None else self.per_sample(made.absorbed)
        self.bias += kept
        self.absorbed += lost
        self.check(name, relevance, found, kept, lost)

    def check(self, name: str, relevance: Tensor, found: Tensor, kept: Tensor | int, lost: Tensor | int) -> None:
        left = self.per_sample(relevance) - self.per_sample(found) - kept - lost
        entered = self.per_sample(relevance.abs()).clamp_min(1e-20)
        self.steps.append((name, float((left.abs() / entered).max())))

    def per_sample(self, values: Tensor) -> Tensor:
        """The sum over each sample (N,); samples are the first axis, alone or with heads or patches behind each."""
        count = len(self.images)
        if values.ndim and values.shape[0] % count == 0:
            return values.reshape(count, -1).sum(1)
        return values.sum().expand(count) / count  # a constant that all samples share


def _spread(sums: Linear, relevance: Tensor) -> Tensor:
    """By weights that are all positive, whatever the values."""
    return sums.back(relevance / sums.onward(torch.ones_like(sums.x), size=True), size=True)
