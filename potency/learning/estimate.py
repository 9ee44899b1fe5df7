"""The learners that stand on others: a classical model on measured features and embeddings, and an average."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from numpy.typing import NDArray

from potency.bundle import Card, EstimatorMember, Features, Member, NetworkMember
from potency.bundle.estimate import FROZEN
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.data.whole import replacing
from potency.errors import PlanError
from potency.estimators import find_estimator
from potency.inference.agreement import digest
from potency.inference.engine import running
from potency.inference.view import View, windows
from potency.learning.planning import stated
from potency.networks.weights import load_weights
from potency.tasks import Task

if TYPE_CHECKING:
    from potency.learning.train import Course

Log = list[dict[str, Any]]
AT_ONCE = 256  # crops whose features are made together
USUAL = Plan()
BROUGHT = ("network", "tile", "scaling", "normalise", "level")  # by a bundle's network, unless a member says otherwise


def frozen(plan: Plan) -> bool:
    """Whether every network of an estimator stays as it was loaded: its embeddings are the same in all folds."""
    return all(own.steps == 0 for own in plan.member_plans(**FROZEN))


def seen(plan: Plan, task: Task) -> Features | None:
    """What an estimator sees, where it is the same in all folds: measured once, and kept."""
    if not frozen(plan):
        return None
    return Features(plan, tuple(as_loaded(own, task) for own in plan.member_plans(**FROZEN)))


def as_loaded(plan: Plan, task: Task) -> NetworkMember:
    """A network before any learning: weights of a file or of the hub, else drawn from the seed."""
    import torch

    torch.manual_seed(plan.seed)
    nets = task.build(plan)
    for net in nets.values() if plan.weights else ():
        load_weights(net, str(plan.weights))
    return NetworkMember(task, plan, nets.eval())


def fit_estimator(course: Course) -> tuple[tuple[Member, ...], Log]:
    """Networks that learn do so on the same training rows; then the classical model is fitted on what all see."""
    plan, task, log = course.plan, course.task, Log()
    networks: list[NetworkMember] = []
    for i, own in enumerate(plan.member_plans(**FROZEN)):
        if own.learner != NetworkMember.learner:
            raise PlanError(
                f"an estimator stands on networks, not on a {own.learner}", "plan.members", "name networks there"
            )
        if own.steps == 0:
            networks.append(as_loaded(own, task))
            continue
        (learned,), told = course.learn(own, i)
        assert isinstance(learned, NetworkMember)
        networks.append(learned)
        log += [{"member": i, **row} for row in told]
    plan = plan.of_members([network.plan for network in networks])
    rows = course.manifest.of("train")
    table = measured(rows, Features(plan, tuple(networks))) if course.features is None else course.features
    table = table.loc[list(rows.table["id"].astype(str))]  # several crops of one large image are several rows
    known = rows.table.set_index(rows.table["id"].astype(str))[["truth", "group"]].loc[table.index]
    fitted = find_estimator(plan.network).fit(
        table, known["truth"].to_numpy(), estimates=task.estimates, classes=plan.classes,
        groups=known["group"].to_numpy(), seed=plan.seed,
    )  # fmt: skip
    return (EstimatorMember(task, plan, fitted, networks),), log


def fit_average(course: Course) -> tuple[tuple[Member, ...], Log]:
    """Each member learns by itself on the same rows; their answers are averaged, and only then calibrated."""
    plans = course.plan.member_plans()
    if len(plans) < 2:
        raise PlanError(
            f"an average of {len(plans)} members", "plan.members", 'name two or more, like ["tiny", "resnet18"]'
        )
    members: list[Member] = []
    log = Log()
    for i, own in enumerate(plans):
        learned, told = course.learn(own, i)
        members += learned
        log += [{"member": i, **row} for row in told]
    return tuple(members), log


def measured(rows: Manifest, see: Features, progress: Callable[[int, int], object] | None = None) -> pd.DataFrame:
    """The features of every crop of the rows, indexed by the id of its row; a large image gives several."""
    see = see.with_networks(running())
    tables: list[pd.DataFrame] = []
    ids: list[str] = []
    crops: list[NDArray[Any]] = []
    for done, (name, pieces) in enumerate(crops_of(rows, see.plan), 1):
        ids += [name] * len(pieces)
        crops += pieces
        if len(crops) >= AT_ONCE or done == len(rows):
            tables.append(see(crops))
            crops = []
        if progress is not None:
            progress(done, len(rows))
    return pd.concat(tables).set_axis(pd.Index(ids, name="id"), axis=0) if tables else pd.DataFrame()


def kept(
    rows: Manifest, see: Features | None, cache: Path, progress: Callable[[int, int], object] | None = None
) -> Path | None:
    """Where lies what is seen of every row, measured now if it never was; None where nothing is seen."""
    if see is None:
        return None
    path = cache / f"features-{identity(see, rows.fingerprint())}.parquet"
    if not path.is_file():
        found = measured(rows, see, progress)
        with replacing(path) as part:
            found.to_parquet(part)
    return path


def identity(see: Features, rows: str) -> str:
    """A hash of what is measured and of the rows, by their fingerprint."""
    plan = see.plan
    facts = [rows, see.families, plan.channels, plan.pixel_size, plan.tile, plan.window]
    networks = [[network.plan.json(), digest(network.module())] for network in see.networks]
    return hashlib.sha256(json.dumps([facts, networks]).encode()).hexdigest()[:16]


def crops_of(rows: Manifest, plan: Plan) -> Iterator[tuple[str, list[NDArray[Any]]]]:
    """Id and windows of each row, as `predict` cuts them: large enough for every member, which cuts its own crop."""
    plan = plan.but(tile=plan.window)

    def one(row: dict[Any, Any]) -> tuple[str, list[NDArray[Any]]]:
        view = View.of(rows, row, plan)
        return str(row["id"]), [view.crop(tile) for tile in windows(view.shape, plan)]

    records = rows.records()
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:  # decoders release the interpreter
        for start in range(0, len(records), AT_ONCE):  # never more of the pixels in memory than are worked on
            yield from pool.map(one, records[start : start + AT_ONCE])


def settled(plan: Plan, task: Task) -> Plan:
    """The plan with members that name a bundle's folder replaced by the networks of that bundle.

    A bundle brings the network, tile and scaling of each of its networks, any other network what it states about how it
    learns and what its weights expect; what the member says itself, and what the plan changes, goes before.

    Raises:
        BundleError: the card cannot be read. PlanError: other channels, another pixel size, or no network in it.
    """
    made: list[dict[str, Any]] = []
    for own in plan.members:
        folder = Path(str(own.get("weights")))
        if not (folder / "card.json").is_file():
            made.append(_advised(plan, task, own))
            continue
        for i, theirs in enumerate(Card.read(folder / "card.json").plans):
            if theirs.learner != NetworkMember.learner:
                raise PlanError(
                    f"member {i} of the bundle is no network: its learner is {theirs.learner!r}",
                    str(folder),
                    "name a bundle of networks",
                )
            for what in ("channels", "pixel_size"):
                if getattr(theirs, what) != getattr(plan, what):
                    raise PlanError(
                        f"its {what} are {getattr(theirs, what)}, the plan's {getattr(plan, what)}",
                        str(folder),
                        "name a bundle that learned from images like these",
                    )
            brought = {name: getattr(theirs, name) for name in BROUGHT}
            made.append({**brought, **own, "weights": str(folder / f"weights{i or ''}.safetensors")})
    return plan.but(members=made)


def _advised(plan: Plan, task: Task, own: Mapping[str, Any]) -> dict[str, Any]:
    member = plan.but(members=[own]).member_plans()[0]
    advice = stated(task, member).items()
    return {**{name: value for name, value in advice if getattr(plan, name) == getattr(USUAL, name)}, **own}


def sources(plan: Plan) -> list[Card]:
    """The cards of the bundles that the weights of the plan or of its members come from."""
    files = [Path(str(own["weights"])).parent / "card.json" for own in plan.members if own.get("weights")]
    files += [Path(plan.weights) / "card.json"] if plan.weights else []
    return [Card.read(file) for file in files if file.is_file()]
