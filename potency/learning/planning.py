"""The plan of a training: computed from the data, and from what its networks state about how they learn."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path

from potency.bundle import Card, NetworkMember
from potency.bundle.card import CARD
from potency.data.plan import Facts, Plan
from potency.networks import Network
from potency.networks.bodies import expected_values
from potency.networks.weights import published
from potency.tasks import Task


def planned(facts: Facts, task: Task, *, started: bool = False, **changes: object) -> Plan:
    """Compute a plan; `changes` override any field by name, and all that follows from it is computed anew.

    >>> from potency.tasks import find_task
    >>> facts = Facts(1000, ("phase",), 61, None, {"phase": (0.0, 255.0)}, ("a", "b"))
    >>> plan = planned(facts, find_task("classify"), network="tiny", started=True)
    >>> plan.rate, plan.freeze
    (0.001, 0.3)

    Args:
        started: whether the networks go on from a bundle; starting `weights` are seen by themselves.

    Raises:
        PlanError: an unknown name, or an impossible value.
    """
    changes = {**task.usual, **_brought(changes), **changes}
    plan = Plan.of(facts, **{"task": task.name, **changes})
    return plan.but(**{name: value for name, value in stated(task, plan, started).items() if name not in changes})


def continued(before: Plan, task: Task) -> dict[str, object]:
    """What the plan of a training that goes on from a bundle keeps of its plan."""
    decoder = {"decoder": before.decoder} if before.decoder and "decoder" in task.usual else {}
    return {**_seen_as(before), "level": before.level, **decoder}


def _brought(changes: Mapping[str, object]) -> dict[str, object]:
    """What a bundle named as starting weights brings: the network they belong to, and what it was made to see."""
    folder = Path(str(changes.get("weights")))
    if not (folder / CARD).is_file():
        return {}
    return _seen_as(Card.read(folder / CARD).plan)


def _seen_as(before: Plan) -> dict[str, object]:
    """The network of a plan, and how it sees images."""
    return {name: getattr(before, name) for name in ("network", "tile", "normalise", "pixel_size")}


def followed(task: Task, before: Plan, after: Plan, said: Collection[str]) -> Plan:
    """`after` with what its own network states wherever `before` had what its network stated and nobody said else."""
    if (before.network, before.weights) == (after.network, after.weights):
        return after
    usual = {f.name: getattr(Plan(), f.name) for f in fields(Plan)}
    old, new = stated(task, before), stated(task, after)
    names = (set(old) | set(new)) - set(said)
    mine = {name: new.get(name, usual[name]) for name in names if getattr(before, name) == old.get(name, usual[name])}
    return after.but(**mine)


def stated(task: Task, plan: Plan, started: bool = False) -> Mapping[str, object]:
    """What the networks of a plan state about how they learn; of several, the most careful one decides."""
    if plan.learner != NetworkMember.learner:
        return {}
    import torch

    try:
        with torch.device("meta"):  # shapes only: nothing is drawn, nothing is kept
            nets = task.build(plan)
    except NotImplementedError:  # a few networks look at their weights while they are made
        nets = task.build(plan)
    told = [net.learning(started or bool(plan.weights)) for net in nets.values() if isinstance(net, Network)]
    advice: dict[str, object] = {}
    for decisions in sorted(told, key=lambda one: one["rate"], reverse=True):
        advice |= decisions
    for net in nets.values() if plan.weights else ():
        advice["normalise"] = expected_values(published(net))
    return advice
