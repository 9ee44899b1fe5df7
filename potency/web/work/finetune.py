"""The work behind "fine-tune on my corrections": a model goes on learning, and is held against the one it came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.errors import PotencyError
from potency.web.correcting.corrections import Correction, Corrections
from potency.web.correcting.rows import FEWEST, HELD, LEARN, Rows, gathered
from potency.web.work.kind import Kind, Order
from potency.web.work.models import loaded

if TYPE_CHECKING:
    from potency.bundle import Bundle
    from potency.data.manifest import Manifest
    from potency.data.plan import Plan
    from potency.evaluation.results import Report

ENOUGH = 20  # images learned from, from which on some of them calibrate the probabilities
BEFORE, AFTER = "prediction@before", "prediction"
POOR = 0.3  # of a score whose best value is 1
STILL = "Yet it is still far from good: correct more images, or let it learn for more steps."
WORDS = {
    "better": "Better than the old model, on images that neither learned from.",
    "worse": "Worse than the old model, on images that neither learned from: keep the old one.",
    "same": "No better than the old model, on images that neither learned from: keep the old one.",
    "unsure": "A better score on images that neither learned from, but this may be chance: correct more images before "
              "you rely on it.",
    "none": "No score: too few images are done to keep some back. It may be better or worse; nobody can tell.",
}


def run(order: Order) -> Mapping[str, Any]:
    """Learn from what was corrected, judge both models by what was kept back, and put the new one on the shelf."""
    from potency.learning.train import train

    there = Corrections(order.store, order.owner)
    found, model = there.find(order.arguments["correction"]), str(order.arguments["model"])
    order.progress(0, 0, "loading the model")
    start = loaded(order.shelf.folder(model))
    refuse(start, order.shelf.find(model).title)
    before = dict(start.card.data.get("corrections", {}))
    labels = start.task.answer.in_files
    place = order.folder / "truth"
    place.mkdir(exist_ok=True)
    rows = gathered(there, found, place, start.card.plan.classes if labels else (), before.get("learned", ()))
    learned = rows.manifest(place, LEARN)
    _refuse_classes(learned, start, found)
    if labels or len(learned) < ENOUGH:
        learned = learned.add({"split": ["train"] * len(learned)})
    plan = planned(start, learned, int(order.arguments["steps"]))
    tuned = train(learned, start.task, into=order.folder / "learning", plan=plan, start=start,
                  progress=order.step("learning"))  # fmt: skip
    report = judged(order, rows, place, start, tuned)
    told = verdict(report)
    after = carded(tuned, start, order, found, rows, report)
    id = order.folder.name  # of the job: a model is never put there twice, whatever was killed
    after.save(order.store.place("models", id))
    if order.store.row("SELECT id FROM models WHERE id = ?", id) is None:
        order.shelf.put(id, str(after.card.data["title"]))
    return {"correction": found.id, "from": model, "from_title": order.shelf.find(model).title, "model": id,
            "title": after.card.data["title"], "steps": plan.steps, "learned": len(rows.of(LEARN)),
            "held": len(rows.of(HELD)), "how": rows.how, "names": [row["name"] for row in rows.of(HELD)],
            "fewest": FEWEST, **told}  # fmt: skip


def refuse(start: Bundle, title: str) -> None:
    """PotencyError where a model cannot go on learning."""
    from potency.bundle import NetworkMember

    if len(start.members) != 1 or not isinstance(start.members[0], NetworkMember):
        raise PotencyError("this model is an ensemble or no network, and cannot go on learning", title,
                           "choose another model, or train a new one from the corrections")  # fmt: skip


def planned(start: Bundle, rows: Manifest, steps: int) -> Plan:
    """The plan of the model, with careful steps; small images are seen in small tiles, which is as good and quicker."""
    from potency.learning.planning import stated

    plan = start.card.plan
    careful = stated(start.task, plan, started=True)
    batch = max(2, min(plan.batch, 2 * len(rows)))
    plan = plan.but(steps=steps, batch=batch, validations=1, patience=0, weights=None, precision="float32", balance=0.0,
                    **careful)  # fmt: skip
    if plan.halo is None or not start.task.answer.in_files:
        return plan
    sides = [max(rows.open(row).shape[-2:]) for row in rows.records()]
    tile = tuple(min(side, max(64, -(-max(sides) // 32) * 32)) for side in plan.tile)
    return plan.but(tile=tile)


def judged(order: Order, rows: Rows, place: Path, start: Bundle, tuned: Bundle) -> Report | None:
    """Both models on the images that were kept back; None where there are none."""
    from potency.evaluation.evaluate import evaluate
    from potency.inference.predict import predict

    if not rows.of(HELD):
        return None
    held = rows.manifest(place, HELD)
    told = predict(held, start, into=order.folder / "before", name=BEFORE, progress=order.step("judging the old model"))
    told = predict(told, tuned, into=order.folder / "after", name=AFTER, progress=order.step("judging the new model"))
    return evaluate(told, predictions=(AFTER, BEFORE), facts={
        "title": "Fine-tuned on corrections", "split": f"corrected images that were kept back; {rows.how}",
        "split_kind": "stratified", "simulated": any(row["simulated"] for row in rows.table)})  # fmt: skip


def verdict(report: Report | None) -> dict[str, Any]:
    """Both scores, their difference, and what follows in words."""
    from potency.answers import ANSWERS
    from potency.evaluation.terms import METRICS

    if report is None:
        return {"verdict": "none", "words": WORDS["none"], "metric": "", "name": "", "says": "", "before": None,
                "after": None, "difference": None, "groups": 0, "better": 1}  # fmt: skip
    metric, kind = report.headline, ANSWERS[report.task]
    both = {name: report.numbers[name].get(metric) for name in (BEFORE, AFTER)}
    contest = report.contests[0]
    apart = contest.differences.get(metric)
    said = contest.verdict
    if said == "inconclusive":
        gain = kind.better * apart.value if apart else 0.0
        said = "unsure" if gain > 0 else "same"
    figures = {name: None if one is None else {"value": one.value, "low": one.low, "high": one.high}
               for name, one in (("before", both[BEFORE]), ("after", both[AFTER]), ("difference", apart))}  # fmt: skip
    poor = kind.better > 0 and both[AFTER] is not None and both[AFTER].value < POOR  # type: ignore[union-attr]
    words = WORDS[said] + (" " + STILL if poor and said in ("better", "unsure") else "")
    name, says = METRICS.get(metric, (metric, ""))[:2]
    return {"verdict": said, "words": words, "metric": metric, "name": name, "says": says, **figures,
            "groups": report.groups, "better": kind.better}  # fmt: skip


def carded(tuned: Bundle, start: Bundle, order: Order, found: Correction, rows: Rows, report: Report | None) -> Bundle:
    """The new model with a card that says where it came from, what it learned from, and how it was judged."""
    from potency.evaluation.digest import digest

    model, old = str(order.arguments["model"]), dict(start.card.data)
    before = dict(old.get("corrections", {}))
    learned = sorted({*before.get("learned", ()), *(row["digest"] for row in rows.of(LEARN))})
    origin = {
        "from": model, "from_title": order.shelf.find(model).title, "from_version": order.shelf.version(model),
        "correction": found.id, "job": order.folder.name, "steps": tuned.card.plan.steps, "images": len(rows.of(LEARN)),
        "held": len(rows.of(HELD)), "learned": learned, "rounds": int(before.get("rounds", 0)) + 1,
    }  # fmt: skip
    first = str(before.get("title", "")) or order.shelf.find(model).title
    images = "1 corrected image" if origin["images"] == 1 else f"{origin['images']} corrected images"
    data = {**tuned.card.data, "title": f"{first}, corrected ({origin['rounds']})",
            "corrections": {**origin, "title": first},
            "about": f"Fine-tuned from {origin['from_title']} (version {origin['from_version']}) on {images} of "
                     f"“{found.title}”, {origin['steps']} steps. What it learned from before: {old.get('about', '-')}",
            "licence": old.get("licence", "not stated"),
            "simulated": bool(old.get("simulated")) or any(row["simulated"] for row in rows.table)}  # fmt: skip
    validation: Mapping[str, Any] = digest(report) if report is not None else {}
    return tuned.but(data=data, validation={**validation, "log": tuned.card.validation.get("log", [])})


def _refuse_classes(rows: Manifest, start: Bundle, found: Correction) -> None:
    if start.task.answer.in_files:
        return
    unknown = sorted({str(name) for name in rows.table["truth"]} - set(start.card.plan.classes))
    if unknown:
        raise PotencyError(f"the class {unknown[0]!r} is none of this model's", found.title,
                           "choose a model with these classes: " + ", ".join(start.card.plan.classes))  # fmt: skip


KIND = Kind("finetune", "Fine-tuned on corrections", "work/finetune.html", run)
