"""What a model says of itself, from its card and in plain words: data, method, figures, limits, what it is not for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from potency.bundle.card import Card
from potency.evaluation.results import Interval
from potency.evaluation.wording import clean, known, spoken

METRICS = ("balanced_accuracy", "accuracy", "auc", "macro_f1", "ece", "coverage", "set_size", "accuracy_kept", "mae",
           "r2", "pearson", "dsb_ap", "pq", "f1")  # fmt: skip
Told = Mapping[str, Any]


@dataclass(frozen=True)
class Measured:
    """One figure: its name, value with 95 % interval, and what it says."""

    name: str
    value: str
    meaning: str


@dataclass(frozen=True)
class ByClass:
    """How a class fares: its images and groups, and of those it found and named."""

    name: str
    images: str
    groups: str
    recall: str
    precision: str


@dataclass(frozen=True)
class Doubt:
    """A question that a sceptic asks, its answer, and a mark: good, caution, bad, unknown."""

    question: str
    answer: str
    mark: str


@dataclass(frozen=True)
class Portrait:
    """A model for people.

    Attributes:
        data, method: facts by name.
        tested: on what the figures were measured, as a sentence; "" where nothing is known.
        baselines: the headline figure of other ways, on the same images.
        limits, never: sentences.
    """

    data: dict[str, str]
    method: dict[str, str]
    tested: str
    figures: list[Measured]
    baselines: list[Measured]
    classes: list[ByClass]
    doubts: list[Doubt]
    limits: list[str]
    never: list[str]


def portrait(card: Card) -> Portrait:
    """The portrait of a card."""
    seen: Told = card.validation
    metrics: Told = seen.get("metrics") or {}
    figures = [Measured(known(m)[0], spoken(one, m), known(m)[1]) for m in METRICS if (one := _interval(metrics, m))]
    headline = str(seen.get("headline_metric") or "")
    others = [Measured(clean(name, 40), spoken(_of(cell), headline), f"{known(headline)[0].lower()}, same images")
              for name, cell in (seen.get("baselines") or {}).items()]  # fmt: skip
    asked = [Doubt(str(d["question"]), str(d["answer"]), str(d["mark"])) for d in seen.get("doubts") or ()]
    return Portrait(dict(_data(card)), dict(_method(card)), _tested(seen), figures, others, list(_classes(card)), asked,
                    list(_limits(card)), list(_never(card)))  # fmt: skip


def _data(card: Card) -> Iterator[tuple[str, str]]:
    data, plan = card.data, card.plan
    if data.get("rows"):
        simulated = "simulated " if data.get("simulated") else ""
        yield "Learned from", f"{int(data['rows']):,} {simulated}images" + (
            f" of {int(data['groups']):,} groups (clones, donors, plates or the like)" if data.get("groups") else ""
        )
    if plan.classes:
        yield "Classes", ", ".join(plan.classes)
    high, wide = plan.window
    where = f", {plan.pixel_size:g} µm a pixel" if plan.pixel_size else "; it does not know how large a pixel is"
    yield "Images", f"{len(plan.channels)} channel{'s' * (len(plan.channels) != 1)} ({', '.join(plan.channels)}), " + (
        f"seen {high} x {wide} pixels at a time{where}"
    )
    yield "Licence", str(data.get("licence") or "not stated")


def _method(card: Card) -> Iterator[tuple[str, str]]:
    plans, trust = card.plans, card.trust
    yield "Kind", ", ".join(dict.fromkeys(
        f"network {one.network}" if one.learner == "gradient" else f"{one.learner} {one.network}" for one in plans
    ))  # fmt: skip
    if len(plans) > 1:
        yield "Members", f"{len(plans)}, whose answers are averaged"
    started = sorted({str(one.weights) for one in plans if one.weights})
    yield "Began from", ", ".join(started) or "nothing: its weights were drawn at random"
    if "temperature" in trust or any(str(name).startswith("isotonic") for name in trust):
        yield "Probabilities", ("calibrated on groups it had not learned from: of 100 images with 80 %, about 80 are "
                                "meant to be right; the calibration error below says how near that came")  # fmt: skip
    if "set" in trust:
        yield "Sets of classes", "meant to hold the right class for about nine of ten images of new groups"
    if "ood" in trust:
        yield "Unlike images", ("by how far an image lies from the training images in the network's embedding; at "
                                "most about one known image in a hundred is called unlike")  # fmt: skip
    yield "Written by", f"potency {card.version}"


def _tested(seen: Told) -> str:
    if not seen.get("metrics"):
        return ""
    groups, kind = seen.get("groups"), str(seen.get("split") or "")
    count = f"{int(seen['rows']):,} images of " if seen.get("rows") else ""
    of = f"{count}{int(groups):,} groups" if groups else "images"
    if kind == "random":
        return f"Measured on {of} under a random split: images of a group stood on both sides, so the figures flatter."
    return (f"Measured on {of} that the model tested had not learned from. In brackets: 95 % intervals, drawn over "
            "whole groups.")  # fmt: skip


def _classes(card: Card) -> Iterator[ByClass]:
    seen, metrics = card.validation, card.validation.get("metrics") or {}
    counts: Told = seen.get("classes") or {}
    for name in card.plan.classes:
        recall, precision = _interval(metrics, f"recall.{name}"), _interval(metrics, f"precision.{name}")
        if recall or precision:
            own = counts.get(name) or {}
            yield ByClass(name, f"{own['images']:,}" if own else "", f"{own['groups']:,}" if own else "",
                          spoken(recall, "recall"), spoken(precision, "precision"))  # fmt: skip


def _limits(card: Card) -> Iterator[str]:
    data, trust = card.data, card.trust
    if data.get("simulated"):
        yield "It learned from images that a program drew. What it says of a real cell means nothing."
    if card.plan.classes:
        yield f"It answers with one of {', '.join(card.plan.classes)}, whatever it is shown."
    if "ood" not in trust:
        yield "It cannot tell whether an image is unlike those it learned from."
    else:
        yield ("An image that is not called unlike may still be one it gets wrong: a new microscope, medium or cell "
               "line has to be tested with images of known class first.")  # fmt: skip
    if card.plan.classes and "set" not in trust:
        yield "It gives no sets of classes, only probabilities."
    if not card.validation.get("metrics"):
        yield "No figure was measured when it was made."


def _never(card: Card) -> Iterator[str]:
    yield "diagnosis, treatment or the release of cells: it is for research, and nothing was measured for such a use"
    yield ("images of another microscope, contrast, magnification, cell type or laboratory, before it was tested on "
           "them")  # fmt: skip


def _interval(metrics: Told, name: str) -> Interval | None:
    return _of(metrics.get(name))


def _of(cell: Any) -> Interval | None:
    if not isinstance(cell, Mapping) or not isinstance(cell.get("value"), int | float):
        return None
    return Interval(float(cell["value"]), cell.get("low"), cell.get("high"))
