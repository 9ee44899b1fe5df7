"""Search: plans drawn by Optuna, learned on training rows, judged on validation rows; test rows are never seen."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

import pandas as pd

from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import ManifestError, MissingExtra, PlanError, PotencyError, nearest
from potency.evaluation.evaluate import evaluate
from potency.inference.claim import claimed
from potency.inference.predict import predict
from potency.learning.estimate import kept, settled
from potency.learning.planning import followed, planned
from potency.learning.space import Space, applied
from potency.learning.train import begin, find_learner, finish, set_aside
from potency.tasks import Task, find_task

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.pruners import BasePruner

Progress = Callable[[int, int], object]
PERMILLE = 1000
FIRST = 8  # trials drawn at random before TPE (Bergstra 2011) has something to go by


def _median(optuna: ModuleType) -> BasePruner:
    return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=PERMILLE // 5)  # type: ignore[no-any-return]


def _hyperband(optuna: ModuleType) -> BasePruner:
    return optuna.pruners.HyperbandPruner(PERMILLE // 10, PERMILLE)  # type: ignore[no-any-return]


def _never(optuna: ModuleType) -> BasePruner:
    return optuna.pruners.NopPruner()  # type: ignore[no-any-return]


# When a trial is given up early, by its looks at the validation rows.
PRUNERS: Mapping[str, Callable[[ModuleType], BasePruner]] = MappingProxyType(
    {"median": _median, "hyperband": _hyperband, "none": _never}
)


@dataclass(frozen=True)
class Search:
    """How settings are searched: over what, how long, and when a trial is given up."""

    axes: Mapping[str, Any] = field(default_factory=lambda: Space().axes)  # see `Space`
    trials: int = 20
    pruner: str = "median"

    def __str__(self) -> str:
        return f"{self.trials} trials over {', '.join(self.axes)}"


@dataclass(frozen=True, eq=False)
class Found:
    """What a search left: the best plan, the log of its learning, all trials, and how much each setting mattered."""

    plan: Plan
    log: list[dict[str, Any]]
    table: pd.DataFrame  # number, state, score, seconds, and a column a setting
    importance: Mapping[str, float]


def search(
    manifest: Manifest,
    task: str | Task,
    space: Mapping[str, Any] | Space | None = None,
    *,
    into: str | Path,
    plan: Plan | None = None,
    trials: int = 20,
    pruner: str = "median",
    progress: Progress | None = None,
) -> Plan:
    """The best plan that so many trials found over `space`, by its score on validation rows; see `explore` for more.

    Example: `search(rows, "classify", {"rate": {"low": 1e-4, "high": 1e-2, "log": True}}, into="out/search")`

    Args:
        manifest: rows with a truth. Of a table with `split` only its train and validation rows are seen; where it has
            no validation rows, a part of whole groups is set aside.
        space: what may change, see `Space`; rate, decay, dropout, smoothing and balance by default.
        into: folder of the trials; a search that was stopped there, however, goes on to the same trials.
        plan: what does not change; computed from the training rows by default.
        pruner: name in `PRUNERS`.

    Raises:
        MissingExtra: optuna is not installed.
        PlanError: a space with a name the plan does not have, or an impossible value; a folder with another search.
        PotencyError: every trial failed.
    """
    axes = space.axes if isinstance(space, Space) else space or Space().axes
    return explore(manifest, task, Search(axes, trials, pruner), into=into, plan=plan, progress=progress).plan


def explore(
    manifest: Manifest,
    task: str | Task,
    how: Search,
    *,
    into: str | Path,
    plan: Plan | None = None,
    progress: Progress | None = None,
) -> Found:
    """What `search` does, with all it found; `into` keeps `trials.csv`, `plan.json`, the journal and the bundles."""
    task, into = find_task(task) if isinstance(task, str) else task, Path(into)
    if how.pruner not in PRUNERS:
        raise PlanError(f"there is no pruner {how.pruner!r}", "search", nearest(how.pruner, PRUNERS))
    optuna = _optuna()
    rows = inner(manifest, plan.seed if plan else 0)
    base = settled(plan or planned(Facts.of(rows.of("train")), task), task)
    Space(how.axes).refuse(base)
    with claimed(into):
        _mark(into, rows, base, how)
        return _Search(optuna, rows, task, base, how, into, progress).found()


def inner(manifest: Manifest, seed: int) -> Manifest:
    """The rows that a search may see: train and validation, the latter set aside in whole groups where none are."""
    known = manifest.where(manifest.table["truth"].notna())
    if "split" in known.table:
        known = known.of("train", "validation")
        if known.table["split"].eq("validation").any():
            return known
        known = replace(known, table=known.table.drop(columns="split"))
    if not len(known):
        raise ManifestError("no rows to learn from", str(manifest.folder), "mark some rows as train in column split")
    return set_aside(known, 0.2, seed)


class _Search:
    """One search, trial by trial; what a trial draws depends on the seed, its number and the trials before it only."""

    def __init__(self, optuna: ModuleType, rows: Manifest, task: Task, base: Plan, how: Search, into: Path,
                 progress: Progress | None) -> None:  # fmt: skip
        self.optuna, self.rows, self.task, self.base = optuna, rows, task, base
        self.space, self.how, self.into, self.progress = Space(how.axes), how, into, progress
        self.study = _study(optuna, into / "journal.log", PRUNERS[how.pruner](optuna))
        self.reasons: dict[int, str] = {}
        if not self.study.trials and self.space.own(base):  # the plan as it is competes
            self.study.enqueue_trial(self.space.own(base))

    def found(self) -> Found:
        states = self.optuna.trial.TrialState
        while (done := sum(t.state.is_finished() for t in self.study.trials)) < self.how.trials:
            left = [t for t in self.study.trials if t.state == states.RUNNING]  # of a search that was killed
            number = left[0].number if left else done
            self.study.sampler = self.optuna.samplers.TPESampler(seed=self.base.seed + number, n_startup_trials=FIRST)
            trial = self.optuna.trial.Trial(self.study, left[0]._trial_id) if left else self.study.ask()
            self._run(trial, done)
            self._tell(done + 1, 0.0)
        complete = [t for t in self.study.trials if t.state == states.COMPLETE]
        table = pd.DataFrame([self._row(trial) for trial in self.study.trials if trial.state.is_finished()])
        table.to_csv(self.into / "trials.csv", index=False)
        if not complete:
            reason = next(iter(self.reasons.values()), "see trials.csv")
            raise PotencyError(f"none of {self.how.trials} trials came to its end: {reason}", str(self.into),
                               "narrow the space, or look at the first trial")  # fmt: skip
        return self._kept(complete, table)

    def _run(self, trial: Trial, done: int) -> None:
        states, started = self.optuna.trial.TrialState, time.monotonic()
        folder = self.into / "trials" / str(trial.number)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            score = self._score(self._plan(trial), folder, trial, done)
            self.study.tell(trial, score, states.COMPLETE if math.isfinite(score) else states.FAIL)
        except self.optuna.TrialPruned:
            self.study.tell(trial, state=states.PRUNED)
        except PotencyError as error:  # a plan that cannot be learned here is a trial that failed, not a search
            self.reasons[trial.number] = error.what
            self.study.tell(trial, state=states.FAIL)
        seconds = round(time.monotonic() - started, 1)
        (folder.parent / f"{trial.number}.json").write_text(
            json.dumps({"seconds": seconds, "error": self.reasons.get(trial.number, "")}), "utf-8"
        )

    def _plan(self, trial: Trial) -> Plan:
        values = self.space.suggest(trial)
        return followed(self.task, self.base, applied(self.base, values), values)

    def _score(self, plan: Plan, folder: Path, trial: Trial, done: int) -> float:
        """Learn, look by look, and the headline of the validation rows, better when higher."""
        before = set(self.study.trials[trial.number].intermediate_values)

        def look(share: float, score: float) -> None:
            step = round(PERMILLE * share)
            if step not in before and math.isfinite(score):
                trial.report(score, step)
            self._tell(done, share)
            if trial.should_prune():
                raise self.optuna.TrialPruned

        plan = settled(plan, self.task)
        features = kept(self.rows, find_learner(plan).seen(plan, self.task), self.into / "cache")
        course = begin(self.rows, self.task, into=folder, plan=plan, cache=self.into / "cache")
        course = replace(course, look=look, features=pd.read_parquet(features) if features else None)
        bundle = finish(course)
        place = folder / "answers" if self.task.answer.in_files else None
        told = evaluate(predict(self.rows.of("validation"), bundle, into=place), draws=0).numbers["prediction"]
        return float(self.task.answer.better * told[self.task.answer.headline].value)

    def _tell(self, done: int, share: float) -> None:
        if self.progress is not None:
            self.progress(round(PERMILLE * (done + share)), PERMILLE * self.how.trials)

    def _kept(self, complete: list[Any], table: pd.DataFrame) -> Found:
        best = max(complete, key=lambda trial: (trial.value, -trial.number))
        plan = self._plan(self.optuna.trial.FixedTrial(best.params))
        card = json.loads((self.into / "trials" / str(best.number) / "bundle" / "card.json").read_text("utf-8"))
        (self.into / "plan.json").write_text(json.dumps(plan.json(), indent=1), "utf-8")
        return Found(plan, card["validation"]["log"], table, _importance(self.optuna, self.study, complete))

    def _row(self, trial: Any) -> dict[str, Any]:
        path = self.into / "trials" / f"{trial.number}.json"
        facts = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        values = trial.intermediate_values
        score = trial.value if trial.value is not None else values[max(values)] if values else math.nan
        score *= self.task.answer.better
        drawn = self.space.suggest(self.optuna.trial.FixedTrial(trial.params)).items()
        told = {name: json.dumps(value) if isinstance(value, list | dict) else value for name, value in drawn}
        return {"number": trial.number, "state": trial.state.name.lower(), "score": score, "looks": len(values),
                **facts, **told}  # fmt: skip


def _importance(optuna: ModuleType, study: Study, complete: list[Any]) -> dict[str, float]:
    """The share of the scores' variance that each setting explains (fANOVA, Hutter 2014); nothing from few trials."""
    if len(complete) < 4 or len({trial.value for trial in complete}) < 2:
        return {}
    found: dict[str, float] = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
    )
    return found


def _optuna() -> ModuleType:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtra("optuna", "search") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _study(optuna: ModuleType, path: Path, pruner: BasePruner) -> Study:
    """The study in a journal beside the trials: lines appended one by one, so that a kill costs none."""
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)  # of a process that was killed: the folder is ours
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))
    made: Study = optuna.create_study(
        storage=storage, study_name="search", direction="maximize", load_if_exists=True, pruner=pruner
    )
    return made


def _mark(into: Path, rows: Manifest, base: Plan, how: Search) -> None:
    """One folder, one search: another one's is refused; more trials of the same one are welcome."""
    parts = rows.table["split"].tolist()
    own = {"rows": [rows.fingerprint(), parts], "plan": base.json(), "space": dict(how.axes), "pruner": how.pruner}
    own, mark = json.loads(json.dumps(own)), into / "search.json"
    if mark.is_file():
        if json.loads(mark.read_text(encoding="utf-8")) != own:
            raise PlanError(
                "the folder holds a search with other rows, plan or space", str(into), "choose another --into"
            )
        return
    mark.write_text(json.dumps(own, indent=1), encoding="utf-8")
