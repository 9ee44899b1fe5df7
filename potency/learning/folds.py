"""The folds of a protocol as independent jobs: train without a fold, predict it, hand back its column."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd

from potency.answers import Answer
from potency.bundle import Bundle, Card, EstimatorMember
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.data.tables import read_table, write_table
from potency.data.whole import replaced
from potency.errors import ManifestError, PotencyError
from potency.inference.origin import described
from potency.inference.predict import predict
from potency.learning.logs import Follower
from potency.learning.search import Search, explore
from potency.learning.train import find_learner, train
from potency.tasks import find_task

OWN = "own"  # the kind of a split that the table brought along: one test part, not folds
WRITE_EVERY = 0.5  # seconds between two notes of how far a job is


@dataclass(frozen=True, eq=False)
class Job:
    """One fold of one column: plain data, so that it can be done in another process."""

    column: str
    fold: int
    manifest: Manifest  # rows with `split`
    plan: Plan
    into: Path
    cache: Path
    features: Path | None = None  # what an estimator sees of all rows, where it was measured once
    start: str = ""  # folder of a bundle to go on from
    search: Search | None = None  # for the plan, on the rows of this fold that are not its test

    @property
    def notes(self) -> Path:
        return self.into / "progress"


@dataclass(frozen=True, eq=False)
class Done:
    """What came of a job: uncalibrated answers of its test rows (a frame with `id`), and how it learned."""

    column: str
    fold: int
    answers: pd.DataFrame
    bundle: Path
    log: list[dict[str, Any]]
    trust: dict[str, Any]
    engine: str = ""  # what computed the answers


def work(job: Job) -> Done:
    """Train on all rows but those of the fold and predict these; what an earlier call finished is not done again."""
    notes = _Notes(job.notes)
    folder, kept = job.into / "bundle", job.into / "answers.parquet"
    there = (folder / "card.json").is_file()
    card, told, engine = Card.read(folder / "card.json") if there else None, None, ""
    if card is not None and kept.is_file():
        with contextlib.suppress(ManifestError):  # half a table of an older crash: the rows are asked again
            told, saved = read_table(kept)
            engine = str(saved.get("engine", ""))
    if card is None or told is None:
        features = pd.read_parquet(job.features) if job.features else None
        bundle = Bundle.load(folder) if there else _trained(job, features, notes)
        card = bundle.card
        told, engine = _told(job, bundle, features)
        write_table(told, kept, {"engine": engine})
    notes.done()
    log = [{"fold": job.fold, **row} for row in card.validation.get("log", ())]
    return Done(job.column, job.fold, told, folder, log, dict(card.trust), engine)


def _trained(job: Job, features: pd.DataFrame | None, notes: _Notes) -> Bundle:
    start = Bundle.load(Path(job.start)) if job.start else None
    plan = job.plan
    if job.search:
        place = job.into / "search"
        plan = explore(job.manifest, plan.task, job.search, into=place, plan=plan, progress=notes).plan
    return train(job.manifest, plan.task, into=job.into, plan=plan, start=start, cache=job.cache,
                 features=features, progress=notes)  # fmt: skip


def _told(job: Job, bundle: Bundle, features: pd.DataFrame | None) -> tuple[pd.DataFrame, str]:
    """The uncalibrated answers to the test rows (`id` and the columns), and what computed them."""
    raw, tested = bundle.but(trust={}), job.manifest.of("test")
    if features is None:
        place = job.into / "answers" if raw.task.answer.in_files else None
        predicted = predict(tested, raw, into=place, name=job.column)
        told, engine = predicted.table, predicted.origin[f"{job.column}.engine"]
    else:
        told, engine = _of_features(raw, tested, features, job), described(raw)
    columns = [c for c in told if c == job.column or str(c).startswith(f"{job.column}.")]
    return told[["id", *columns]], engine


def _of_features(bundle: Bundle, tested: Manifest, features: pd.DataFrame, job: Job) -> pd.DataFrame:
    """Features were measured once for all rows; an estimator answers from them without opening an image again."""
    member, task = bundle.members[0], find_task(job.plan.task)
    assert isinstance(member, EstimatorMember)
    table = features.loc[list(tested.table["id"].astype(str))]
    answers: dict[str, list[Answer]] = {}
    for name, answer in zip(table.index, bundle.answers([member.of_features(table)]), strict=True):
        answers.setdefault(name, []).append(answer)
    joined = (crops[0] if len(crops) == 1 else _averaged(task.answer, crops) for crops in answers.values())
    cells = [answer.cells(tested.folder, job.column) for answer in joined]
    ids = tested.table.set_index(tested.table["id"].astype(str))["id"].loc[list(answers)]
    return pd.DataFrame(cells).assign(id=ids.to_numpy())


def _averaged(kind: type[Answer], crops: Sequence[Answer]) -> Answer:
    return replace(kind.average(crops), **kind.stitched(crops))


class _Notes:
    """How far a job is, in a file that the caller reads wherever the job runs."""

    def __init__(self, path: Path) -> None:
        self.path, self.last, self.total = path, 0.0, 1
        path.parent.mkdir(parents=True, exist_ok=True)

    def __call__(self, done: int, total: int) -> None:
        self.total = total
        if time.monotonic() - self.last > WRITE_EVERY:
            self.last = time.monotonic()
            self._write(done / max(1, total))

    def done(self) -> None:
        self._write(1.0)

    def _write(self, share: float) -> None:
        try:
            replaced(self.path, f"{share:.6f}")
        except OSError:  # progress is a courtesy; the work itself reports a full disk
            return


class Watch:
    """Adds up the notes of all jobs while they run, tells `progress(done, total)` in permille of the whole, and lets
    followers look at the logs.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        progress: Callable[[int, int], object] | None,
        followers: Sequence[Follower] = (),
    ) -> None:
        self.jobs, self.progress, self.followers, self.stop = jobs, progress, followers, threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        for job in self.jobs:
            job.notes.unlink(missing_ok=True)
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop.set()
        self.thread.join()
        if self.progress is not None and kind is None:
            self.progress(1000, 1000)

    def _look(self) -> None:
        while not self.stop.wait(0.5):
            for follower in self.followers:
                follower.look()
            if self.progress is None:
                continue
            share = sum(_share(job.notes) for job in self.jobs) / max(1, len(self.jobs))
            self.progress(min(999, round(1000 * share)), 1000)  # the last of it is said when all jobs have returned


def _share(path: Path) -> float:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return 0.0


def dealt(manifest: Manifest, by: str, folds: int, seed: int, kind: str) -> Manifest:
    """The rows in folds: those the table came with in its column `fold`, else its own test rows, else dealt now.

    A table that came divided (column `split` with train and test) is obeyed: its test rows are fold 0, the only one.
    """
    if "fold" not in manifest.table:
        given = manifest.table["split"] if "split" in manifest.table else pd.Series(dtype=str)
        if not {"train", "test"} <= set(given):
            return manifest.split(by, folds, seed, kind)
        fold = given.map({"test": 0, "external": -1}).fillna(1).astype(int)
        origin = {**manifest.origin, "split": "column 'split'", "split_kind": OWN, "split_by": by}
        return replace(manifest, table=manifest.table.assign(fold=fold), origin=origin)
    return replace(manifest, origin={"split": "column 'fold'", "split_by": by, "split_kind": kind, **manifest.origin})


def divided(rows: Manifest, k: int, validation: float, seed: int) -> Manifest:
    """Fold k as test and a part of the rest, in whole groups, as validation; a table's own validation rows are kept."""
    own = rows.origin.get("split_kind") == OWN
    if own and rows.table["split"].eq("validation").any():
        return rows.of("train", "validation", "test")
    return rows.fold(k, validation, seed)


def finished(results: Iterable[Any]) -> list[Done]:
    """All results, or the error of a job whose worker was lost."""
    found = []
    for result in results:
        if not isinstance(result, Done):
            raise PotencyError(
                f"a fold could not be trained: {result.reason}", "learning", "free some memory; --resume goes on"
            )
        found.append(result)
    return found


def refitted(plan: Plan, log: Sequence[Mapping[str, Any]]) -> Plan:
    """The plan for all rows, where nothing validates: it and its members take the folds' median of best steps."""

    def median(before: Plan, rows: Sequence[Mapping[str, Any]]) -> Plan:
        best = [row["step"] for row in rows if row["best"]]
        return before.but(steps=max(1, int(np.median(best)))) if best and before.steps else before

    own = [row for row in log if "member" not in row]
    members = [
        median(member, [row for row in log if row.get("member") == i])
        for i, member in enumerate(plan.member_plans(**find_learner(plan).unless_said))
    ]
    return median(plan, own).of_members(members)
