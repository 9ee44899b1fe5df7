"""Label-fraction curves: what probes and fine-tuning of encoders reach with few labels, beside scratch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from potency.bundle import Bundle
from potency.data.folders import RUN
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import ManifestError, PlanError
from potency.evaluation.columns import parts_of
from potency.evaluation.intervals import bootstrap, values_of
from potency.inference.claim import claimed
from potency.inference.pool import Mapper
from potency.labelling.curve import RANDOM, SCRATCH, Choices, Key, Start, Study, tabled
from potency.labelling.draws import draw
from potency.learning.estimate import kept, settled
from potency.learning.folds import Done, Job, Watch, dealt, finished, work
from potency.learning.planning import planned
from potency.learning.train import find_learner, train
from potency.learning.truths import truths
from potency.learning.unlabelled import was_seen
from potency.tasks import Task, find_task

PROBE, TUNED = "probe", "fine-tuned"
Progress = Callable[[float, float, str], object]


def study(
    manifest: Manifest,
    task: Task,
    starts: Sequence[Start],
    *,
    into: str | Path,
    choices: Choices | None = None,
    on: Mapper = map,
    progress: Progress | None = None,
) -> Study:
    """Learn from a few labels by every method, and test on groups that none of them has labels of.

    Each fold and draw is a `Job` of the protocol, so a stopped study goes on. No row validates: few labels are too few
    to set some aside, so every method learns a fixed number of steps and its last model is kept. The interval resamples
    test groups; the mean over draws of labels is taken inside it.

    Raises:
        ManifestError: faults of the rows, or no truth. PlanError: no start, or fractions that are none.
    """
    made = _Study(manifest, task, starts, Path(into), choices or Choices(), progress)
    with claimed(made.into):
        return made.run(on)


class _Study:
    def __init__(
        self, manifest: Manifest, task: Task, starts: Sequence[Start], into: Path, choices: Choices,
        progress: Progress | None,
    ) -> None:  # fmt: skip
        names = [start.name for start in starts]
        if not names or len(set(names)) < len(names) or not all(re.fullmatch(r"[\w-]+", name) for name in names):
            raise PlanError(f"encoders called {names} cannot be told apart", "labels", "give each a word of its own")
        if "truth" not in manifest.table:
            raise ManifestError("the table has no truth to learn", str(manifest.folder), "name it with --truth")
        self.task, self.starts, self.into, self.choices, self.progress = task, starts, into, choices, progress
        rows = manifest.where(manifest.table["truth"].notna())
        self.every = manifest
        self.rows = dealt(rows, "group", choices.folds, choices.seed, "stratified")
        folds = sorted(int(k) for k in self.rows.table["fold"].unique() if k >= 0)
        self.folds = folds[:1] if choices.holdout else folds
        self.seed, self.cache = choices.seed, into / "cache"
        self.sizes: dict[Key, list[tuple[int, int]]] = {}  # labels and groups of each fold

    def run(self, on: Mapper) -> Study:
        note = self._note()
        for start in self.starts:  # what cannot be read or learned from leaves no note behind
            self._seen(start, self.folds[0])
        self._plans(self.rows.fold(self.folds[0], 0.0, self.seed).of("train"), self.starts)
        (self.into / RUN).write_text(note, encoding="utf-8")
        jobs: list[Job] = []
        notes: list[str] = []
        for k in self.folds:
            encoders = [self._encoder(start, k) for start in self.starts]
            notes += [line for start in encoders for line in self._seen(start, k)]
            jobs += self._jobs(k, encoders)
        for own in {str(cut.json()): cut for job in jobs for cut in find_learner(job.plan).cuts(job.plan)}.values():
            self._cut(own)
        with Watch(jobs, None if self.progress is None else lambda a, b: self._say(a, b, "learning")):
            done = finished(on(work, jobs))
        return self._judged(done, tuple(dict.fromkeys(notes)))

    def _note(self) -> str:
        """What makes this study this one; in one folder the same one goes on, another one is refused."""
        own = {"rows": self.rows.fingerprint(), "task": self.task.name, "choices": asdict(self.choices),
               "starts": [asdict(start) for start in self.starts]}  # fmt: skip
        own, path = json.loads(json.dumps(own)), self.into / RUN
        if path.is_file() and json.loads(path.read_text("utf-8")) != own:
            raise PlanError("the folder holds another run", str(self.into), "choose another --into")
        return json.dumps(own, indent=1)

    def _say(self, done: float, total: float, what: str) -> None:
        if self.progress is not None:
            self.progress(done, total, what)

    def _cut(self, plan: Plan) -> None:
        from potency.learning.samples import cut

        cut(self.rows, plan, self.cache, lambda a, b: self._say(a, b, "cutting crops"))

    def _encoder(self, start: Start, k: int) -> Start:
        """The start of a fold: one that is pre-trained here sees no image of a group that the fold tests."""
        if not start.pretrain:
            return start
        task = find_task(start.how)
        tested = self.rows.table["group"][self.rows.table["fold"].eq(k)]
        inner = ~self.every.table["group"].isin(tested)  # rows without a label are as good as any here
        if "split" in self.every.table:
            inner &= ~self.every.table["split"].isin(["test", "external"])
        learned = self.every.where(inner)
        learned = replace(learned, table=learned.table.drop(columns=["fold", "split"], errors="ignore"))
        plan = planned(Facts.of(learned), task, **{"steps": start.pretrain, "seed": self.seed, **start.plan})
        place = self.into / "encoders" / f"{start.name}-{k}"
        if not (place / "bundle" / "card.json").is_file():
            told = f"pre-training, fold {k}"
            train(learned, task, into=place, plan=plan, progress=lambda a, b: self._say(a, b, told))
        return replace(start, weights=str(place / "bundle"), plan={})

    def _seen(self, start: Start, k: int) -> list[str]:
        """What a reader must know of an encoder: whether it has seen the images it is tested on."""
        if not (Path(start.weights) / "card.json").is_file():
            return [f"{start.name}: whether its weights have seen these images is not known"]
        tested = self.rows.where(self.rows.table["fold"].eq(k))
        seen = was_seen(Bundle.load(start.weights).card, tested)
        if seen is None:
            return [f"{start.name}: its card does not say which images it has learned from; if it learned from labels "
                    "of these, the figures flatter"]  # fmt: skip
        if seen.any():
            return [f"{start.name}: had seen {seen.mean():.0%} of the test images of fold {k}, without their labels "
                    "(leave them out with potency pretrain --leave-out)"]  # fmt: skip
        return [f"{start.name}: had seen no test image"]

    def _jobs(self, k: int, encoders: Sequence[Start]) -> list[Job]:
        parts = self.rows.fold(k, 0.0, self.seed)
        plans = self._plans(parts.of("train"), encoders)
        jobs = []
        for fraction, number, labelled in self._drawn(parts):
            for method, plan in plans.items():
                key = (method, fraction, number)
                self.sizes.setdefault(key, []).append(_size(labelled))
                own = plan if plan.learner == "estimator" else plan.but(seed=self.seed + number)
                place = self.into / "jobs" / f"{method}-{100 * fraction:g}-{number}-{k}"
                jobs.append(Job(self._column(key), k, labelled, own, place, self.cache, self._features(own)))
        return jobs

    def _column(self, key: Key) -> str:
        return f"prediction@{list(self.sizes).index(key)}"

    def _drawn(self, parts: Manifest) -> list[tuple[float, int, Manifest]]:
        """The rows of a fold under each draw of labels: those without one are set aside as external."""
        learned = parts.table["split"].eq("train").to_numpy()
        known = parts.where(parts.table["split"].eq("train"))
        strata = [self.task.stratum(truth) for truth in truths(known, self.task)]
        found = []
        for number in range(self.choices.draws):
            masks = draw(strata, known.table["group"], self.choices.fractions, self.seed + number)
            for fraction, mask in masks.items():
                if fraction == 1 and number:
                    continue  # all labels are all labels
                split = parts.table["split"].to_numpy(object, copy=True)
                split[np.flatnonzero(learned)[~mask]] = "external"
                found.append((fraction, number, replace(parts, table=parts.table.assign(split=split))))
        return found

    def _plans(self, learned: Manifest, encoders: Sequence[Start]) -> dict[str, Plan]:
        facts, made = Facts.of(learned), dict[str, Plan]()
        usual: dict[str, Any] = {"steps": self.choices.steps, "validations": 1, "seed": self.seed, "test_views": 1}
        usual |= dict(self.choices.changes)
        first = encoders[0]
        for start in encoders:
            member = {**start.plan, "weights": start.weights}
            made[f"{PROBE}@{start.name}"] = self._probe(facts, member)
        base = planned(facts, self.task, **{**usual, **first.plan, "weights": first.weights})
        same = {name: getattr(base, name) for name in ("network", "tile", "normalise")}
        made[RANDOM] = self._probe(facts, same)
        if self.choices.tune:
            for start in encoders:
                known = {**usual, **start.plan, "weights": start.weights}
                made[f"{TUNED}@{start.name}"] = planned(facts, self.task, **known)
            made[SCRATCH] = planned(facts, self.task, **{**usual, "network": base.network, "tile": base.tile})
        return made

    def _probe(self, facts: Facts, member: Mapping[str, Any]) -> Plan:
        plan = Plan.of(facts, task=self.task.name, learner="estimator", network="logistic", members=[member],
                       seed=self.seed, test_views=1)  # fmt: skip
        return settled(plan, self.task)

    def _features(self, plan: Plan) -> Path | None:
        see = find_learner(plan).seen(plan, self.task)
        return kept(self.rows, see, self.cache, lambda a, b: self._say(a, b, "embedding"))

    def _judged(self, done: Sequence[Done], notes: tuple[str, ...]) -> Study:
        """Every column as evidence on the same test rows, under the same weightings of groups."""
        kind = self.task.answer
        tested = self.rows.where(self.rows.table["fold"].isin(self.folds))
        table = tested.table.set_index(tested.table["id"].astype(str))
        truth, pieces = parts_of(table, "truth", kind), []
        groups = np.unique(table["group"].astype(str), return_inverse=True)[1]
        for key in self.sizes:
            name = self._column(key)
            said = pd.concat([d.answers for d in done if d.column == name], ignore_index=True)
            said = said.set_index(said["id"].astype(str)).loc[table.index]
            wrong = said.index[said[name].isna()]
            if len(wrong):
                raise ManifestError("a test image could not be answered", f"row {wrong[0]!r}", "mend or leave it out")
            answered = parts_of(said, name, kind)
            evidence = kind.compare_columns(truth, answered, self.rows.classes, tested.folder)
            pieces.append((np.arange(len(table)), evidence))
        drawn = bootstrap(kind, pieces, groups, self.choices.resamples, self.seed)
        name = kind.headline
        values = {key: values_of(kind, piece)[name] for key, (_, piece) in zip(self.sizes, pieces, strict=True)}
        again = {key: each[name] for key, each in zip(self.sizes, drawn, strict=True)}
        count = int(groups.max()) + 1
        beside = SCRATCH if self.choices.tune else RANDOM
        told = tabled(values, again, self.sizes, beside, count, kind.better)
        return Study(told, name, count, len(table), notes)


def _size(rows: Manifest) -> tuple[int, int]:
    learned = rows.of("train")
    return len(learned), int(learned.table["group"].nunique())
