"""What a network did with its images: every operation it called, in order, with what went in and what came out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

# What takes only the shape of what it is given.
SHAPES = {"zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "new_zeros", "new_ones",
          "new_full", "new_empty"}  # fmt: skip


@dataclass(frozen=True)
class Slot:
    """A value that depends on the images, by its number."""

    number: int


@dataclass
class Step:
    """One operation.

    Attributes:
        op: what torch calls it (an overload of `torch.ops.aten`).
        args, kwargs: as given, a `Slot` in the place of every value that depends on the images.
        outs: the numbers of what came out; None for what is no tensor of floating point.
    """

    op: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outs: tuple[int | None, ...]

    @property
    def name(self) -> str:
        """Without the library, and without the underscore of what works in place."""
        return str(self.op.overloadpacket).removeprefix("aten.").removesuffix("_")

    def ins(self) -> list[int]:
        """The numbers of the values it read, each once, in order."""
        return list(dict.fromkeys(leaf.number for leaf in tree_leaves((self.args, self.kwargs)) if _is_slot(leaf)))


class Tape:
    """The steps of one forward pass and all values that depend on the images.

    It works below modules, so that a network needs no rule of its own, however it is wired: a skip that is added with
    `+=`, a gate that is written out, attention in one call are the same few operations everywhere.

    >>> tape = Tape()
    >>> image = torch.ones(1, 3)
    >>> _ = tape.record(lambda seen: torch.relu(seen * 2), image)
    >>> [step.name for step in tape.steps]
    ['mul', 'relu']
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.values: list[Tensor] = []
        self.numbers: dict[int, int] = {}  # id of a tensor that is kept below -> its number
        self.kept: list[Tensor] = []
        self.places: dict[int, list[int]] = {}  # where memory lies -> the numbers of the values in it
        self.stale: set[int] = set()

    def record(self, run: Callable[[Tensor], Any], images: Tensor) -> Any:
        """Run and remember; gives what `run` gives. Attention is recorded as the products it is made of."""
        self._add(images)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _Recorder(self):
            return run(images)

    def number(self, value: Tensor) -> int | None:
        """The number of a value that was recorded; None where it does not depend on the images."""
        return self.numbers.get(id(value))

    def read(self, step: Step) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a step with its values in their places."""

        def value(leaf: Any) -> Any:
            return self.values[leaf.number] if _is_slot(leaf) else leaf

        args = tree_map(value, step.args, is_leaf=_is_slot)
        kwargs = tree_map(value, dict(step.kwargs), is_leaf=_is_slot)
        return args, kwargs

    def replay(self, number: int, value: Tensor) -> dict[int, Tensor]:
        """What follows when one value is replaced: the values that depend on it, by number."""
        made = {number: value}
        for step in self.steps:
            if not any(n in made for n in step.ins()):
                continue

            def read(leaf: Any) -> Any:
                return made.get(leaf.number, self.values[leaf.number]) if _is_slot(leaf) else leaf

            args = list(tree_map(read, step.args, is_leaf=_is_slot))
            if step.op._schema.is_mutable:  # nothing on the tape is overwritten
                args[0] = args[0].clone()
            out = step.op(*args, **tree_map(read, dict(step.kwargs), is_leaf=_is_slot))
            for n, part in zip(step.outs, out if isinstance(out, tuple | list) else (out,), strict=True):
                if n is not None:
                    made[n] = part
        return made

    def _add(self, value: Tensor) -> int:
        self.numbers[id(value)] = number = len(self.values)
        self.values.append(value)
        self.kept.append(value)  # an id, and an address, is used again once its tensor is gone
        self.places.setdefault(value.untyped_storage().data_ptr(), []).append(number)
        return number

    def written(self, target: Tensor) -> None:
        """Keep what an operation in place is about to overwrite, and forget its other views."""
        for number in self.places.pop(target.untyped_storage().data_ptr(), ()):
            self.values[number] = self.values[number].clone()
            if self.kept[number] is not target:
                self.stale.add(id(self.kept[number]))

    def slots(self, given: Any) -> Any:
        """Arguments with a `Slot` in the place of each recorded value."""

        def slot(leaf: Any) -> Any:
            if isinstance(leaf, Tensor) and (number := self.number(leaf)) is not None:
                if id(leaf) in self.stale:
                    raise NotImplementedError("a view is read after what it shows was overwritten in place")
                return Slot(number)
            return leaf

        return tree_map(slot, given)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down what passes on its way to the kernels."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, which nothing here needs: seconds of every process

    def __init__(self, tape: Tape) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tape = tape

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        slots, named = self.tape.slots(tuple(args)), self.tape.slots(kwargs)
        depends = any(_is_slot(leaf) for leaf in tree_leaves((slots, named), is_leaf=_is_slot))
        depends = depends and str(func.overloadpacket).removeprefix("aten.") not in SHAPES
        if depends and func._schema.is_mutable:
            self.tape.written(args[0])
        out = func(*args, **kwargs)
        if depends:
            made = out if isinstance(out, tuple | list) else (out,)
            numbers = tuple(
                self.tape._add(value) if isinstance(value, Tensor) and value.is_floating_point() else None
                for value in made
            )
            self.tape.steps.append(Step(func, slots, named, numbers))
        return out


def _is_slot(leaf: Any) -> bool:
    return isinstance(leaf, Slot)


def numbers_of(args: Any) -> list[int | None]:
    """Of each value of floating point among arguments its number; None for a constant."""
    found: list[int | None] = []
    for arg in args:
        if isinstance(arg, Slot):
            found.append(arg.number)
        elif isinstance(arg, Tensor) and arg.is_floating_point():
            found.append(None)
        elif isinstance(arg, list | tuple):
            found += numbers_of(arg)
    return found
