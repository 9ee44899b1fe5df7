"""The five verbs for scripts: `verb.predict`, `explain`, `measure`, `evaluate`, `train` as jobs that leave files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.errors import PlanError, nearest
from potency.web.work.kind import Kind, Order
from potency.web.work.models import loaded
from potency.web.work.sent import rows_of

if TYPE_CHECKING:
    from potency.bundle import Bundle

FILES = "answers"  # the folder in that of the job which is the verb's own `into`
OWN = ("parts", "cache", "checkpoints", "tiles")  # what a verb keeps to go on from, and nobody asked for
ROWS: Mapping[str, Any] = {"truth": "", "group": "", "classes": []}


@dataclass(frozen=True)
class Verb:
    """One verb.

    Attributes:
        run: calls it, given the order, its options and the folder to write into; tells a few facts for people.
        options: what may be said of it, with what is taken where nothing is.
        model: whether it takes one.
        role: that it takes to ask for it.
    """

    title: str
    run: Callable[[Order, Mapping[str, Any], Path], Mapping[str, Any]]
    options: Mapping[str, Any] = field(default_factory=dict)
    model: bool = False
    role: str = "reader"

    def chosen(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options with all that was left out.

        Raises:
            PlanError: an option that is none, or of another type.
        """
        known = {**ROWS, **self.options}
        for name, value in options.items():
            if name not in known:
                raise PlanError(f"there is no option {name!r}", self.title, nearest(name, known))
            like = known[name]
            fits = isinstance(value, type(like)) or (isinstance(like, float) and isinstance(value, int))
            if not fits or (isinstance(like, list) and not all(isinstance(one, str) for one in value)):
                raise PlanError(f"the option {name!r} is no {_called(like)}", self.title,
                                f"leave it out, and it is {like!r}")  # fmt: skip
        return {**known, **options}


def predicted(order: Order, options: Mapping[str, Any], into: Path) -> Mapping[str, Any]:
    """A prediction for each row."""
    from potency.inference.predict import predict

    rows, bundle = rows_of(order.sets, order.arguments["set"], options), _model(order)
    made = predict(rows, bundle, into=into, name=options["name"], precision=options["precision"],
                   progress=order.step("predicting"))  # fmt: skip
    return _counted(made.table, f"{options['name']}.error")


def explained(order: Order, options: Mapping[str, Any], into: Path) -> Mapping[str, Any]:
    """A map for each row, and their page."""
    from potency.explanation.explain import explain
    from potency.explanation.page import write_page
    from potency.tasks import Focus

    rows, bundle = rows_of(order.sets, order.arguments["set"], options), _model(order)
    focus = Focus(options["score"], options["label"], options["against"])
    made = explain(rows, bundle, into=into, method=options["method"], focus=focus, checks=options["checks"],
                   progress=order.step("explaining"))  # fmt: skip
    write_page(made, bundle, into, options["method"])
    return _counted(made.table, "explanation.error")


def measured(order: Order, options: Mapping[str, Any], into: Path) -> Mapping[str, Any]:
    """Numbers of each image, or of each object where a column of label images is named."""
    named = (options["objects"],) if options["objects"] else ()
    rows = rows_of(order.sets, order.arguments["set"], options, named)
    if named:
        from potency.measurement.objects.rows import measure_rows

        _, account = measure_rows(rows, options["objects"], into / "measured.parquet", families=options["families"],
                                  naming=options["naming"], progress=order.step("measuring"))  # fmt: skip
        return {"rows": account.objects, "errors": len(account.wrong)}
    from potency.measurement.measure import measure

    made = measure(rows, families=options["families"], progress=order.step("measuring"))
    for end in ("parquet", "csv"):
        made.write(into / f"measured.{end}")
    return _counted(made.table, "measure.error")


def evaluated(order: Order, options: Mapping[str, Any], into: Path) -> Mapping[str, Any]:
    """Figures with intervals, as a report."""
    from potency.evaluation.evaluate import evaluate

    rows = rows_of(order.sets, order.arguments["set"], {**options, "truth": ""}, images=False)
    order.progress(0, 0, "comparing")
    report = evaluate(rows, truth=options["truth"] or "truth", predictions=options["predictions"], by=options["by"],
                      draws=options["draws"], seed=options["seed"])  # fmt: skip
    report.write(into)
    return {"rows": len(rows), "errors": 0}


def trained(order: Order, options: Mapping[str, Any], into: Path) -> Mapping[str, Any]:
    """One model, or with folds the whole protocol; it is put on the shelf too."""
    from potency.data.plan import Plan
    from potency.learning import protocol
    from potency.learning.train import train
    from potency.tasks import find_task, task_for

    rows = rows_of(order.sets, order.arguments["set"], options)
    task = find_task(options["task"]) if options["task"] else task_for(rows.kinds.get("truth", ""))
    plan = Plan.read(confined(options["plan"])) if options["plan"] else None
    start = str(order.arguments.get("model") or "")
    if options["folds"]:
        choices = protocol.Choices(folds=options["folds"], holdout=options["holdout"], resume=into.is_dir(),
                                   start=str(order.shelf.folder(start)) if start else "")  # fmt: skip
        protocol.run(rows, task, into=into, plan=plan, choices=choices, progress=order.progress)
    else:
        train(rows, task, into=into, plan=plan, start=_model(order) if start else None,
              progress=order.step("learning"))  # fmt: skip
    shutil.rmtree(into / "cache", ignore_errors=True)
    title = order.sets.find(order.arguments["set"]).title
    id, place = order.shelf.make(title)
    shutil.copytree(into / "bundle", place)
    order.shelf.put(id, title, {"job": order.folder.name})
    return {"rows": len(rows), "errors": 0, "model": id}


def confined(plan: Mapping[str, Any]) -> Mapping[str, Any]:
    """A plan that somebody sent, unless it names files of this machine: they are not the sender's to read.

    Raises:
        PlanError: its weights are a path.
    """
    several = plan.get("members")
    parts = [plan, *(one for one in several if isinstance(one, Mapping))] if isinstance(several, list) else [plan]
    for part in parts:
        if part.get("weights") not in (None, "", "imagenet"):
            raise PlanError("weights of a plan that is sent are imagenet or none", str(part["weights"])[:80],
                            "go on from a model of the shelf instead: start")  # fmt: skip
    return plan


def _model(order: Order) -> Bundle:
    order.progress(0, 0, "loading the model")
    return loaded(order.shelf.folder(order.arguments["model"]))


def _counted(table: Any, error: str) -> dict[str, Any]:
    return {"rows": len(table), "errors": int(table[error].notna().sum()) if error in table else 0}


def _called(like: Any) -> str:
    names: Mapping[type, str] = {str: "text", bool: "true or false", int: "whole number", list: "list of texts"}
    return names.get(type(like), "object")


VERBS: Mapping[str, Verb] = {
    "predict": Verb("Predict (script)", predicted, {"name": "prediction", "precision": "auto"}, model=True),
    "explain": Verb("Explain (script)", explained, {"method": "relevance", "score": "", "label": "", "against": "",
                                                    "checks": True}, model=True),
    "measure": Verb("Measure (script)", measured, {"families": ["shape", "intensity"], "objects": "",
                                                   "naming": "regionprops"}),
    "evaluate": Verb("Evaluate (script)", evaluated, {"predictions": ["prediction"], "by": "group", "draws": 1000,
                                                      "seed": 0}),
    "train": Verb("Train (script)", trained, {"task": "", "plan": {}, "folds": 0, "holdout": False}, role="analyst"),
}  # fmt: skip


def _run(verb: str) -> Callable[[Order], Mapping[str, Any]]:
    def run(order: Order) -> Mapping[str, Any]:
        into = order.folder / FILES
        options = VERBS[verb].chosen(order.arguments["options"])
        facts = VERBS[verb].run(order, options, into)
        there = (path for path in sorted(into.rglob("*")) if path.is_file() and not path.name.startswith("."))
        files = [
            {"name": path.relative_to(into).as_posix(), "bytes": path.stat().st_size}
            for path in there
            if path.relative_to(into).parts[0] not in OWN
        ]
        return {**facts, "verb": verb, "set": order.arguments["set"], "files": files}

    return run


KINDS = tuple(Kind(f"verb.{name}", verb.title, "work/verbs.html", _run(name)) for name, verb in VERBS.items())
