"""The honest protocol: folds by group, baselines beside the network, out-of-fold columns, a report, then one bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from potency.bundle import Bundle, Card
from potency.bundle.learned import described
from potency.confounding.brief import brief
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.embedding.learned import remembered
from potency.errors import PlanError
from potency.estimators.rules import rules_of
from potency.evaluation.digest import digest
from potency.evaluation.evaluate import evaluate
from potency.evaluation.results import Report
from potency.inference.claim import claimed
from potency.inference.cluster import mapper
from potency.inference.origin import versions
from potency.inference.pool import Mapper
from potency.inference.predict import predict
from potency.learning.account import across, begun, calibrated, licences, report, without_predictions
from potency.learning.estimate import kept, settled, sources
from potency.learning.folds import OWN, Done, Job, Watch, dealt, divided, finished, refitted, work
from potency.learning.logs import followers
from potency.learning.mark import marked
from potency.learning.planning import planned
from potency.learning.rule import refused, ruled
from potency.learning.samples import cut
from potency.learning.search import Search, explore
from potency.learning.train import examples, find_learner, train
from potency.tasks import Task

if TYPE_CHECKING:
    from distributed import Client

Progress = Callable[[float, float, str], object]
BESIDE = ("audit", "gallery", "licences", "maps")  # choices that change no figure and no weight
SPLIT_FAULTS = ("leak-groups", "leak-copies")  # the codes of `Manifest.check`


@dataclass(frozen=True)
class Choices:
    """How honest and how thorough: what is not a decision of the model but of the protocol around it."""

    folds: int = 5
    split: str = "stratified"  # a kind of Manifest.split
    by: str = "group"
    validation: float = 0.1  # share of the learning rows, in whole groups, that chooses the checkpoint
    baselines: tuple[str, ...] = ("forest", "trivial")
    random_split: bool = False  # the network under a random split too; the forest always is
    holdout: bool = False  # the first fold only
    keep_folds: bool = False  # the folds' models as an ensemble instead of one refitted model
    start: str = ""  # folder of a bundle that the networks go on from (fine-tuning)
    draws: int = 1000
    resume: bool = False
    title: str = ""
    command: str = ""
    search: Search | None = None  # settings are searched in each fold anew, on its own learning rows
    audit: bool = True  # look for shortcuts among columns and pictures, in seconds
    gallery: bool = True  # keep some training images, small, in the bundle, so that new ones can be laid beside them
    maps: bool = True  # show what the first fold's network looked at in a few of its test images
    log: tuple[str, ...] = ()  # names of `logs.LOGS`, beside JSON lines and CSV
    licences: tuple[str, str] = ("", "")  # of the data and of the weights, for the model card


@dataclass(frozen=True)
class Outcome:
    """What a protocol leaves: bundle (a folder), page (of the report), the report, the rows with their columns."""

    bundle: Path
    page: Path
    report: Report
    manifest: Manifest


def run(
    manifest: Manifest,
    task: Task,
    *,
    into: str | Path,
    plan: Plan | None = None,
    choices: Choices | None = None,
    on: Mapper | Client = map,
    progress: Progress | None = None,
) -> Outcome:
    """Run the protocol and write `into`/report, `into`/bundle and `into`/predictions.parquet.

    Every figure of the report is out of fold: of models that never saw the row, nor any row of its group.

    Args:
        manifest: rows with truth and group.
        plan: decisions of the network; computed from the rows by default.
        on: where folds are trained, `map`, a `Pool` or a `dask.distributed.Client`; the answers are the same.
        progress: called with (done, total, what).

    Raises:
        ManifestError: faults of the rows, all at once. PlanError: the plan does not fit, or `into` holds another run.
        PotencyError: another process is at work in `into`.
    """
    made = _Run(manifest, task, Path(into), plan, choices or Choices(), progress)
    with claimed(made.into):
        marked(made.into, made.identity, made.choices.resume)
        return made.outcome(mapper(on))


class _Run:
    """One run of the protocol, step by step in the order of `outcome`."""

    def __init__(self, manifest: Manifest, task: Task, into: Path, plan: Plan | None, choices: Choices,
                 progress: Progress | None) -> None:  # fmt: skip
        self.task, self.into, self.choices, self.progress = task, into, choices, progress
        if "truth" not in task.needs:
            mend = "learn it with potency pretrain, and give its bundle as --weights"
            raise PlanError(f"{task.name} learns without truth, so folds have nothing to test", "task", mend)
        for name in choices.baselines:  # now, not after the network has learned for an hour
            refused(name, task)
        self.cache = into / "cache"
        self.followers = followers(self.choices.log, into)
        self.findings = manifest.check(progress=self._step("checking images"))
        self.findings.refuse(str(manifest.folder), SPLIT_FAULTS if choices.split == "random" else ())
        known = manifest.table["truth"].notna()
        self.manifest = manifest.where(known)
        self.plan = settled(plan or planned(Facts.of(self.inner), task), task)
        self.fingerprint = manifest.fingerprint()
        self.started = Bundle.load(Path(self.choices.start)) if self.choices.start else None

    @property
    def inner(self) -> Manifest:
        """The rows that may be learned from: all but the external ones."""
        table = self.manifest.table
        return self.manifest.where(table["split"].ne("external")) if "split" in table else self.manifest

    @property
    def identity(self) -> dict[str, Any]:
        """What makes this run this run: whether it is resumed, logged, audited or explained changes nothing kept."""
        same = replace(self.choices, resume=False, command="", log=())
        choices = {name: value for name, value in asdict(same).items() if name not in BESIDE}
        # What is kept is kept by id and in order, neither of which the fingerprint sees.
        ids = hashlib.sha256("\n".join(map(str, self.manifest.table["id"])).encode()).hexdigest()
        return {"fingerprint": self.fingerprint, "ids": ids, "plan": self.plan.json(), "choices": choices}

    def outcome(self, on: Mapper) -> Outcome:
        rows = dealt(self.manifest, self.choices.by, self.choices.folds, self.plan.seed, self.choices.split)
        chance = self.manifest.split(self.choices.by, self.choices.folds, self.plan.seed, "random")
        jobs = self._jobs(rows, chance)
        for own in find_learner(self.plan).cuts(self.plan) if self.choices.search is None else ():
            cut(self.inner, own, self.cache, self._step("cutting crops"))  # once: workers would do it side by side
        with Watch(jobs, self._step("learning"), self.followers):
            done = finished(on(work, jobs))
        for column in dict.fromkeys(job.column for job in jobs):
            answers = calibrated([d for d in done if d.column == column], rows, self.task, self.plan.classes)
            rows = rows.add(answers, {column: self.task.answer.kind})
            engines = dict.fromkeys(d.engine for d in done if d.column == column)
            rows = replace(rows, origin={**rows.origin, f"{column}.engine": "; ".join(engines)})
        bundle = self._final([d for d in done if d.column == "prediction"], rows)
        for follower in self.followers:
            follower.look()
        asked = brief(self.inner, seed=self.plan.seed, progress=self.progress) if self.choices.audit else {}
        asked |= self._seen(done[0], rows) if self.choices.maps else {}
        told = report(rows, done, draws=self.choices.draws, seed=self.plan.seed, facts={**self._facts(rows), **asked})
        bundle = bundle.but(validation={**digest(told), "engine": rows.origin["prediction.engine"]},
                            data={**bundle.card.data, **licences(self.choices.licences, self.manifest)})  # fmt: skip
        bundle = self._remembering(bundle).save(self.into / "bundle")
        rows = self._external(rows, bundle)
        rows.write(self.into / "predictions.parquet")
        page = told.write(self.into / "report")
        return Outcome(self.into / "bundle", page, told, rows)

    def _seen(self, first: Done, rows: Manifest) -> dict[str, Any]:
        """What the model of the first fold looked at in some of its test rows."""
        from potency.explanation.brief import brief as explained

        ids = first.answers["id"].astype(str).tolist()
        return explained(rows, ids, first.bundle, self.into / "maps", progress=self.progress)

    def _remembering(self, bundle: Bundle) -> Bundle:
        """The bundle with some of the images it learned from; those of answers in files would show nothing alike."""
        if not self.choices.gallery or self.task.answer.in_files:
            return bundle
        step = self._step("keeping some training images")
        return replace(bundle, gallery=remembered(self.inner, bundle, progress=step))

    def _step(self, what: str) -> Callable[[int, int], object] | None:
        progress = self.progress
        return None if progress is None else lambda done, total: progress(done, total, what)

    def _jobs(self, rows: Manifest, chance: Manifest) -> list[Job]:
        # What takes longest comes first: workers that end with small work leave none idle beside the last network.
        both = self.choices.split != "random"
        jobs = self._folds("prediction", rows, self.plan)
        if self.choices.random_split and both:
            jobs += self._folds("prediction@random", chance, self.plan)
        for name in rules_of(self.choices.baselines, self.task.answer.kind):
            jobs += self._folds(f"prediction@{name}", rows, ruled(self.plan, name, self.task))
        for name in self.choices.baselines if self.task.estimates else ():
            plan = self.plan.but(learner="estimator", network=name, families=(), members=())
            jobs += self._folds(f"prediction@{name}", rows, plan)
            if both:
                jobs += self._folds(f"prediction@{name}-random", chance, plan)
        return jobs

    def _folds(self, column: str, rows: Manifest, plan: Plan) -> list[Job]:
        folds = sorted(int(k) for k in rows.table["fold"].unique() if k >= 0)
        name = column.replace("prediction", "network", 1)
        start = self.choices.start if plan is self.plan else ""
        search = self.choices.search if plan is self.plan else None
        features = None if search else self._features(plan)
        share = self.choices.validation if find_learner(plan).validates(plan) else 0.0
        return [
            Job(
                column,
                k,
                divided(rows, k, share, plan.seed),
                plan,
                self.into / "folds" / f"{name}-{k}",
                self.cache,
                features,
                start,
                search,
            )
            for k in (folds[:1] if self.choices.holdout or rows.origin.get("split_kind") == OWN else folds)
        ]

    def _features(self, plan: Plan) -> Path | None:
        """Where lies what the plan's learner sees of every row, measured now if it never was; None: nothing to keep."""
        see = find_learner(plan).seen(plan, self.task)
        return kept(self.manifest, see, self.cache, self._step(f"measuring ({plan.network})"))

    def _final(self, done: Sequence[Done], rows: Manifest) -> Bundle:
        """What a user takes away: one model refitted on all rows, or the folds' models together."""
        trust = across(done, rows, self.task, self.plan.classes) if len(done) > 1 else done[0].trust
        if self.choices.keep_folds:
            members = tuple(member for d in done for member in Bundle.load(d.bundle).members)
            before = self.started.card.data if self.started else None
            card = Card(self.task.name, tuple(m.plan for m in members), trust, described(self.inner, before))
            return Bundle(card, members, examples(self.inner, members[0].plan))
        plan, log = self.plan, [row for d in done for row in d.log]
        if self.choices.search is not None:
            found = explore(
                self.inner, self.task, self.choices.search, into=self.into / "folds" / "all" / "search", plan=plan,
                progress=self._step("searching on all rows"),
            )  # fmt: skip
            plan, log = found.plan, found.log
        features = self._features(plan)
        bundle = train(
            self.inner.add({"split": ["train"] * len(self.inner)}),
            self.task,
            into=self.into / "folds" / "all",
            plan=refitted(plan, log),
            start=self.started,
            cache=self.cache,
            features=pd.read_parquet(features) if features else None,
            progress=self._step("refitting on all rows"),
        )
        return bundle.but(trust=trust)

    def _facts(self, rows: Manifest) -> dict[str, Any]:
        data, how = described(self.inner), self.choices.search
        searched = f"; settings searched in each fold on its own learning rows ({how})" if how else ""
        found = {"faults": self.findings.faults, "warnings": self.findings.warnings}
        before = [*sources(self.plan), *([self.started.card] if self.started else [])]
        return {
            "banner": begun(before, self.inner),
            "title": self.choices.title or f"{self.task.name.capitalize()}: {self.manifest.folder.resolve().name}",
            "split": f"{rows.origin.get('split', '')}; groups: {rows.origin.get('group', 'unknown')}" + searched,
            "split_kind": rows.origin.get("split_kind", ""),
            "fingerprint": self.fingerprint,
            "command": self.choices.command,
            "versions": {**versions(), "engine": rows.origin.get("prediction.engine", "")},
            "findings": {kind: [asdict(f) for f in each] for kind, each in found.items()},
            "plan": self.plan.json(),
            "folder": str(self.manifest.folder),
            "simulated": data["simulated"],
        }

    def _external(self, rows: Manifest, bundle: Bundle) -> Manifest:
        """Rows marked external are answered once, by the finished bundle, and reported on their own."""
        if "split" not in rows.table or not rows.table["split"].eq("external").any():
            return rows
        outside = rows.where(rows.table["split"].eq("external"))
        place = self.into / "answers-external" if self.task.answer.in_files else None
        told = predict(without_predictions(outside), bundle, into=place)
        facts = {
            **self._facts(rows),
            "title": f"{self.choices.title or self.task.name}: external rows",
            "split": "external rows, never learned from",
            "split_kind": "external",
        }
        evaluate(told, draws=self.choices.draws, seed=self.plan.seed, facts=facts).write(self.into / "report-external")
        joined = pd.concat([rows.where(rows.table["split"].ne("external")).table, told.table], ignore_index=True)
        return replace(rows, table=joined)
