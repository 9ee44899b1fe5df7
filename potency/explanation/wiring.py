"""What each operation on a tape is to relevance: a layer, a gate, or nothing but a way."""

from __future__ import annotations

from potency.explanation.tape import Slot, Step, Tape

# Value by value, z = x g(x) with g taken as given (Achtibat 2024, section 3.3): what reached z reaches x.
PASSING = {
    "relu", "relu6", "silu", "gelu", "hardswish", "hardtanh", "leaky_relu", "elu", "mish", "tanh", "sigmoid",
    "hardsigmoid", "clamp", "native_dropout",
}  # fmt: skip
# Values change their place only; a maximum is handed to the winner.
MOVING = {
    "view", "_unsafe_view", "reshape", "t", "transpose", "permute", "squeeze", "unsqueeze", "expand", "slice",
    "select", "cat", "stack", "clone", "_to_copy", "alias", "detach", "unbind", "split", "split_with_sizes",
    "constant_pad_nd", "roll", "flip", "index", "narrow", "repeat", "pixel_shuffle", "native_channel_shuffle",
    "max_pool2d_with_indices",
}  # fmt: skip
GATES = {"sigmoid", "hardsigmoid"}
SOFTMAX = {"_softmax", "_safe_softmax"}
LAYERS = ("convolution", "addmm", "mm", "bmm")


class Wiring:
    """How the steps of a tape hang together.

    Attributes:
        maker: number of a value -> the step that made it.
        readers: number of a value -> how many steps read it.
        gates: values that weigh others: what a sigmoid or a softmax gave, also moved or scaled; of a softmax only where
            attention is taken as given.
        ranks: how many layers lie between the image and each value, along the longest way.
    """

    def __init__(self, tape: Tape, attention_given: bool = True) -> None:
        weighing = GATES | SOFTMAX if attention_given else GATES
        self.maker: dict[int, Step] = {}
        self.readers: dict[int, int] = {}
        self.gates: set[int] = set()
        self.ranks = [0] * len(tape.values)
        for step in tape.steps:
            ins = step.ins()
            made = [number for number in step.outs if number is not None]
            for number in ins:
                self.readers[number] = self.readers.get(number, 0) + 1
            follows = step.name in MOVING or step.name in ("mul", "div", "clamp")
            if step.name in weighing or (follows and self.gates.issuperset(ins)):
                self.gates.update(made)
            rank = max((self.ranks[number] for number in ins), default=0) + (step.name in LAYERS)
            for number in made:
                self.maker[number], self.ranks[number] = step, rank

    def carrying(self, step: Step) -> list[int]:
        """The places of the arguments that are explained: not those that are gates, where another is none."""
        places = [i for i, arg in enumerate(step.args) if isinstance(arg, Slot)]
        return [i for i in places if step.args[i].number not in self.gates] or places

    def before_norm(self, norm: Step) -> Step | None:
        """The convolution whose output this batch norm alone reads: the two are one layer."""
        number = norm.ins()[0]
        inner = self.maker.get(number)
        if inner is None or inner.name != "convolution" or inner.args[6] or self.readers[number] != 1:
            return None
        return inner if self.carrying(inner) == [0] else None
