"""The verb `train`: training rows are learned from, validation rows choose and calibrate, no test row is touched."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from potency.bundle import Bundle, Card, Features, Member, NetworkMember
from potency.bundle.estimate import FROZEN
from potency.bundle.learned import described
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import ManifestError, PlanError, nearest
from potency.evaluation.evaluate import evaluate
from potency.inference.claim import claimed
from potency.inference.engine import accelerate
from potency.inference.predict import predict
from potency.inference.view import View, grid
from potency.learning import gradient, logs, together
from potency.learning.augment import AUGMENTATIONS, decided
from potency.learning.calibration import calibration
from potency.learning.estimate import fit_average, fit_estimator, frozen, seen, settled
from potency.learning.knowing import acquainted
from potency.learning.planning import planned
from potency.learning.rule import fit_rule
from potency.learning.samples import Samples, cut
from potency.learning.settling import with_thresholds
from potency.learning.truths import drawings, listings, truths
from potency.learning.unlabelled import probe, seen_images, watching
from potency.networks.weights import adopt, load_weights
from potency.tasks import Task, find_task

Progress = Callable[[int, int], object]
Learned = tuple[tuple[Member, ...], list[dict[str, Any]]]  # and the rows of the log
EXAMPLES = 4


@dataclass(frozen=True, eq=False)
class Course:
    """One training on its way: rows, task and plan, where it writes, what it may start from."""

    manifest: Manifest  # rows with `split`
    task: Task
    plan: Plan
    into: Path
    cache: Path
    start: Bundle | None = None
    features: pd.DataFrame | None = None  # measured before, by id; else measured now
    progress: Progress | None = None
    look: Callable[[float, float], object] | None = None  # told the share learned and the score of each validation

    def learn(self, plan: Plan, number: int) -> Learned:
        """Learn the plan of a member, on the same rows, in a folder of its own; what is finished there is kept."""
        if self.start is not None:
            raise PlanError("members cannot all go on from one bundle", "start",
                            "name a bundle as the weights of each member")  # fmt: skip
        own = replace(self, plan=plan, into=self.into / f"member{number}", features=None, look=None)
        return find_learner(plan).fit(own)


def train(
    manifest: Manifest,
    task: str | Task,
    *,
    into: str | Path,
    plan: Plan | None = None,
    start: Bundle | None = None,
    cache: Path | None = None,
    features: pd.DataFrame | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Train one model and write its bundle to `into`/bundle; a call that was stopped goes on where it was.

    Rows whose `split` is train are learned from, validation rows choose the checkpoint and the temperature. Without a
    column `split`, a part of whole groups is set aside for validation. For folds, baselines and a report, see
    `potency.learning.protocol.run`.

    Args:
        manifest: rows with `truth`, where the task needs one.
        task: name or task.
        plan: decisions; computed from the training rows by default.
        start: a bundle to go on from (fine-tuning).
        cache: where crops are kept, by default in `into`.
        features: what an estimator sees of every crop, by row id, where it was measured before.

    Raises:
        ManifestError: nothing to learn from.
        PlanError: the plan does not fit.
        PotencyError: `into` cannot be written or is in use by another process.
    """
    course = begin(manifest, task, into=Path(into), plan=plan, cache=cache)
    return finish(replace(course, start=start, features=features, progress=progress))


def begin(
    manifest: Manifest, task: str | Task, *, into: Path, plan: Plan | None = None, cache: Path | None = None
) -> Course:
    """A training as `train` would do it, before it begins."""
    task = find_task(task) if isinstance(task, str) else task
    rows = manifest if "split" in manifest.table else set_aside(manifest, 0.15, plan.seed if plan else 0, task)
    learned = rows.of("train")
    if not len(learned):
        raise ManifestError("no rows to learn from", str(manifest.folder), "mark some as train in the column split")
    plan = settled(plan or planned(Facts.of(learned), task), task)
    return Course(rows, task, task.prepare(plan, truths(learned, task)), into, cache or into / "cache")


def finish(course: Course) -> Bundle:
    """Learn, calibrate on the validation rows, and write the bundle."""
    with claimed(course.into):
        return _finished(course)


def _finished(course: Course) -> Bundle:
    plan, task, learned = course.plan, course.task, course.manifest.of("train")
    before = course.start.card.data if course.start is not None else None
    members, log = find_learner(plan).fit(course)
    checked = course.manifest.of("validation")
    members = tuple(with_thresholds(member, checked) for member in members)
    bundle = Bundle(Card(task.name, tuple(m.plan for m in members)), members, examples(learned, plan))
    if "truth" not in task.needs:
        bundle = bundle.but(data={**described(learned, before), **seen_images(learned)},
                            validation={"log": log, "probe": probe(bundle, learned, checked)})  # fmt: skip
        return bundle.save(course.into / "bundle")
    bundle = acquainted(bundle, learned, [task.stratum(truth) for truth in truths(learned, task)], course.features)
    if len(checked) and not task.answer.in_files:  # labels and maps have no probability to calibrate
        told = predict(checked, bundle, into=None)
        bundle = bundle.but(trust=calibration(told, task, plan.classes))
    bundle = bundle.but(data=described(learned, before), validation={"log": log})
    return bundle.save(course.into / "bundle")


def set_aside(manifest: Manifest, share: float, seed: int, task: Task | None = None) -> Manifest:
    """Mark a part of whole groups as validation rows and the rest as train; without truth it only watches."""
    folds, rows = max(2, round(1 / share)), manifest
    if task is not None and "truth" not in task.needs:
        if manifest.table["group"].nunique() < 2:
            return manifest.add({"split": ["train"] * len(manifest)})
        rows = replace(manifest, table=manifest.table.drop(columns="truth", errors="ignore"))
    chosen = rows.split(folds=folds, seed=seed).table["fold"].eq(0)
    return manifest.add({"split": chosen.map({True: "validation", False: "train"}).to_numpy()})


def examples(rows: Manifest, plan: Plan, count: int = EXAMPLES) -> list[Mapping[str, Any]]:
    """A few training images (their centres, when large), to be checked at every load; of one size where maps are."""
    found: list[Mapping[str, Any]] = []
    for row in rows.records()[:: max(1, len(rows) // count)][:count]:
        view = View.of(rows, row, plan)
        tiles = grid(view.shape, plan.but(tile=plan.window))
        found.append({"image": view.crop(tiles[len(tiles) // 2])})
    return found if plan.halo is None else [one for one in found if one["image"].shape == found[0]["image"].shape]


def _gradient(course: Course) -> Learned:
    plan, task = course.plan, course.task
    unknown = [name for name in plan.augment if name not in AUGMENTATIONS]
    if unknown:
        raise PlanError(f"there is no augmentation {unknown[0]!r}", "plan.augment", nearest(unknown[0], AUGMENTATIONS))
    samples = cut(course.manifest, plan, course.cache, course.progress)
    learned, checked = course.manifest.of("train"), course.manifest.of("validation")
    where = samples.of(learned.table["id"])
    chosen, symmetries = decided(plan.augment, plan.symmetries)
    plan = plan.but(scaling=samples.scaling(where, plan), augment=chosen, symmetries=symmetries)
    nets = _started(course, plan)
    lesson, judge = _lesson(course, samples, where, plan), None
    if "truth" not in task.needs:
        judge = watching(task, plan, samples, samples.of((checked if len(checked) else learned).table["id"]))
    elif len(checked):
        judge = _judge(checked, task, course.into)

    def told(state: gradient.State) -> None:
        logs.write(course.into, state.told)
        if course.look is not None:
            course.look(state.step / plan.steps, state.latest)

    member, state = together.fit(task, plan, lesson, nets, judge, course.into, progress=course.progress, told=told)
    return (member,), state.told


def _lesson(course: Course, samples: Samples, where: Any, plan: Plan) -> gradient.Lesson:
    learned, task = course.manifest.of("train"), course.task
    if "truth" not in task.needs:
        return gradient.Lesson(samples, where, [{}] * len(where))
    if task.listed:
        return gradient.Lesson(samples, where, listings(learned, task, plan, samples, where))
    if task.maps:
        drawn = drawings(learned, task, plan, samples, where, course.cache)
        return gradient.Lesson(samples, where, drawn, _strata(learned, samples, where))
    by_id = dict(zip(learned.table["id"].astype(str), truths(learned, task), strict=True))
    known = [by_id[samples.ids[row]] for row in samples.rows[where]]
    return gradient.Lesson(samples, where, [task.encode(t, plan) for t in known], [task.stratum(t) for t in known])


def _strata(rows: Manifest, samples: Samples, where: Any) -> list[str]:
    """Of each crop, the kind of image that its row's column `stratum` names, for `plan.balance`; none without one."""
    if "stratum" not in rows.table:
        return []
    kinds = dict(zip(rows.table["id"].astype(str), rows.table["stratum"].astype(str), strict=True))
    return [kinds[samples.ids[row]] for row in samples.rows[where]]


def _started(course: Course, plan: Plan) -> Any:
    import torch

    torch.manual_seed(plan.seed)
    nets = course.task.build(plan)
    if course.start is not None:
        before = course.start.members[0]
        if not isinstance(before, NetworkMember) or before.plan.network != plan.network:
            raise PlanError(
                "the bundle to start from has another network", "start", f"plan network={before.plan.network!r}"
            )
        for part, net in nets.items():
            old = before.nets[part].state_dict()
            adopt(net, {k.removeprefix("body."): v for k, v in old.items() if k.startswith("body.")}, "start")
            if before.plan.decoder == plan.decoder:  # else its last layer speaks of other maps, even of the same shape
                own = net.state_dict()
                net.load_state_dict({k: old[k] if k in old and old[k].shape == v.shape else v for k, v in own.items()})
    elif plan.weights:
        for net in nets.values():
            load_weights(net, plan.weights)
    return nets


def _judge(checked: Manifest, task: Task, into: Path) -> gradient.Judge:
    """The validation rows seen through the same predict and evaluate that a user calls; `into` for answers in files."""

    def judge(member: NetworkMember) -> dict[str, float]:
        bundle = Bundle(Card(task.name, (member.plan,)), (member,))
        bundle = accelerate(bundle, engine="torch")  # to compile takes longer than these few rows
        with _place(task, into) as folder:
            report = evaluate(predict(checked, bundle, into=folder), draws=0)
        figures = {f"validation_{k}": v.value for k, v in report.numbers["prediction"].items() if "." not in k}
        value = figures.get(f"validation_{task.answer.headline}", math.nan)
        return {**figures, "score": task.answer.better * value if math.isfinite(value) else -math.inf}

    return judge


@contextmanager
def _place(task: Task, into: Path) -> Iterator[Path | None]:
    """A folder below `into` for answers that lie in files, gone afterwards; None where answers are cells."""
    if not task.answer.in_files:
        yield None
        return
    with TemporaryDirectory(prefix=".judged", dir=into) as name:
        yield Path(name)


@dataclass(frozen=True)
class Learner:
    """How members are made from a course.

    Attributes:
        fit: the members and the rows of the log.
        validates: whether validation rows choose anything under a plan.
        seen: what is seen of a row when that is the same in all folds, so that it is measured once; else None.
        cuts: the plans by which crops are cut: those of the networks that learn.
        unless_said: what holds for every member of a plan that does not say otherwise.
    """

    fit: Callable[[Course], Learned]
    validates: Callable[[Plan], bool]
    seen: Callable[[Plan, Task], Features | None] = lambda plan, task: None
    cuts: Callable[[Plan], tuple[Plan, ...]] = lambda plan: (plan,)
    unless_said: Mapping[str, Any] = field(default_factory=dict)


def find_learner(plan: Plan) -> Learner:
    """The learner that a plan names; an unknown one is refused and the nearest named."""
    if plan.learner not in LEARNERS:
        raise PlanError(f"there is no learner {plan.learner!r}", "plan.learner", nearest(plan.learner, LEARNERS))
    return LEARNERS[plan.learner]


def _cuts(plan: Plan, **unless_said: Any) -> tuple[Plan, ...]:
    return tuple(cut for own in plan.member_plans(**unless_said) if own.steps for cut in find_learner(own).cuts(own))


def _any_validates(plan: Plan) -> bool:
    return any(find_learner(own).validates(own) for own in plan.member_plans())


LEARNERS: Mapping[str, Learner] = {
    "gradient": Learner(_gradient, lambda plan: True),
    "estimator": Learner(fit_estimator, lambda p: not frozen(p), seen, lambda p: _cuts(p, **FROZEN), FROZEN),
    "average": Learner(fit_average, _any_validates, cuts=_cuts),
    "rule": Learner(fit_rule, lambda plan: True, cuts=lambda plan: ()),
}
