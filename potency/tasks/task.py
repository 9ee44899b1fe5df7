"""How an answer is learned: a task turns truths into targets, outputs into losses, and outputs into answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from potency.answers.answer import Answer
from potency.data.plan import Plan
from potency.errors import PlanError, nearest
from potency.networks import NETWORKS

Sample = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Focus:
    """Which number of an output is explained.

    Attributes:
        score: one of the task's `scores`, or "similarity" to `like`; "": the task's first.
        label: the class it is about; "": the most probable one of each sample.
        against: the class it is compared with, for a difference of two.
        like: an embedding (F,), for "similarity": the cosine to it.
    """

    score: str = ""
    label: str = ""
    against: str = ""
    like: Tensor | None = None


class Task(ABC):
    """Base of all tasks; a new task is one file and one line in `TASKS`, and nothing else is edited.

    Attributes:
        name: what people type.
        title: one sentence for help and web page.
        answer: what comes out.
        needs: the columns it learns from; one without "truth" learns from images alone, and is not tested but watched.
        usual: decisions of a plan that suit it, where nobody says otherwise.
        parts: networks it trains, by kind (`networks.NETWORKS`); a generator and its critic are two parts.
        views: augmented views a sample gives in one batch (2 for contrastive learning).
        estimates: what a classical estimator fits for it, "label" or "value"; "" where none can.
        mixable: targets whose weighted mean is a target too, so that samples may be mixed; () where there is none.
        scores: numbers of an output that can be explained, by name; the last is the one curves are drawn of.
        maps: outputs that lie on the pixels of the image. A task that has any learns from truths that do so too: they
            are `drawn`, cut and moved with the image, and only then become its `target`.
        listed: such truths are no drawing but a table of objects: their `places` are cut and moved.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    answer: ClassVar[type[Answer]]
    needs: ClassVar[tuple[str, ...]] = ("image", "truth")
    usual: ClassVar[Mapping[str, object]] = {}
    parts: ClassVar[Mapping[str, str]] = {"net": "encoder"}
    views: ClassVar[int] = 1
    estimates: ClassVar[str] = ""
    mixable: ClassVar[tuple[str, ...]] = ()
    scores: ClassVar[tuple[str, ...]] = ()
    maps: ClassVar[tuple[str, ...]] = ()
    listed: ClassVar[bool] = False

    @abstractmethod
    def outputs(self, plan: Plan) -> int:
        """Numbers the network gives for a sample."""

    def heads(self, plan: Plan) -> tuple[int, ...]:
        """Those numbers by what they are about; a network may have a decoder for each."""
        return (self.outputs(plan),)

    def prepare(self, plan: Plan, truths: Sequence[Answer]) -> Plan:
        """What the truths of the training rows add to the plan (the scale of a target, say)."""
        return plan

    def build(self, plan: Plan) -> nn.ModuleDict:
        """The networks of the plan, with fresh weights."""
        return nn.ModuleDict({part: NETWORKS[kind](plan, self.heads(plan)) for part, kind in self.parts.items()})

    @abstractmethod
    def encode(self, truth: Answer, plan: Plan) -> Sample:
        """The truth of one sample as arrays a loss can use."""

    def drawn(self, truth: Answer, plan: Plan) -> NDArray[Any]:
        """The truth on the pixels, whole numbers (K, H, W), of a task with `maps`; -1 is not judged."""
        raise NotImplementedError(f"{self.name} has maps and does not say how its truth is drawn")

    def places(self, truth: Answer, plan: Plan) -> NDArray[np.float64]:
        """The objects of the truth of a task that is `listed`, (n, 5): top, left, bottom, right, class.

        Edges are in pixels, of a point all at its middle; the class is a place in `plan.classes` (0 without any), -1
        what is not judged.
        """
        raise NotImplementedError(f"{self.name} is listed and does not say where its objects are")

    def target(self, drawn: NDArray[Any], plan: Plan) -> Sample:
        """What a loss can use, of a crop of what was `drawn`, or of the `places` in a crop."""
        raise NotImplementedError(f"{self.name} has maps and does not say what they should be")

    def stratum(self, truth: Answer) -> str:
        """What balanced sampling balances; one stratum leaves samples as they come."""
        return ""

    def collate(self, samples: Sequence[Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """Samples to a batch: stacked, unless a task says otherwise (bags, graphs)."""
        return {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}

    def forward(self, nets: nn.ModuleDict, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Images to outputs, as in inference; `nets` may be in training mode."""
        return dict(nets["net"](batch["image"]))

    def lessened(
        self, output: Mapping[str, NDArray[np.float32]], plan: Plan, times: int
    ) -> Mapping[str, NDArray[np.float32]]:
        """Maps of images seen `times` their size, made small again, as maps of the images themselves."""
        return output

    @abstractmethod
    def losses(self, nets: nn.ModuleDict, batch: Mapping[str, Tensor], plan: Plan) -> Iterator[tuple[str, Tensor]]:
        """Yield (part, loss) lazily: each loss is stepped on before the next is asked for, so a GAN yields two."""

    def watch(self, views: Sequence[Mapping[str, Tensor]], plan: Plan) -> Mapping[str, float]:
        """Figures for the log of a task without truth, of the outputs of `views` augmented views of the same crops.

        "score" is better when higher; without one the last model is kept.
        """
        return {}

    @abstractmethod
    def decode(self, output: Mapping[str, NDArray[np.float32]], plan: Plan) -> Answer:
        """The outputs of one sample as an answer."""

    def trials(self, plan: Plan) -> Mapping[str, Sequence[float]]:
        """What may be tried on validation rows for each of the plan's `settings`, most telling first."""
        return {}

    def focus(self, output: Mapping[str, Tensor], plan: Plan, what: Focus) -> Tensor:
        """The scalar of each sample (N,) that explanations explain.

        Raises:
            PlanError: the task gives no such score, or knows no such class; the nearest is named.
        """
        if what.score != "similarity":
            raise _no_score(self, what.score)
        if what.like is None or "embedding" not in output:
            raise PlanError("there is no embedding to compare with", "score=similarity", "give an image, and a network")
        # The lengths are taken as given: a cosine does not change along its own embedding, so its slope would explain
        # nothing.
        seen, like = output["embedding"], what.like.to(output["embedding"])
        cosine = (seen * like).sum(1) / (seen.detach().norm(dim=1) * like.norm()).clamp_min(1e-12)
        return torch.as_tensor(cosine)


def _no_score(task: Task, name: str) -> PlanError:
    known = (*task.scores, "similarity")
    return PlanError(f"{task.name} gives no score {name!r} to explain", "score", nearest(name, known))
