"""Several bundles as one: their members side by side, each with its own crop, their answers averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from potency.bundle import Bundle, Card
from potency.bundle.learned import described
from potency.data.manifest import Manifest
from potency.errors import BundleError, PlanError
from potency.inference.pool import Mapper
from potency.inference.predict import Progress, predict
from potency.learning.calibration import Fitted, calibration

ALIKE = ("channels", "classes", "pixel_size")  # what members must share to answer about the same samples


def ensemble(
    bundles: Sequence[Bundle | str | Path],
    *,
    into: str | Path,
    rows: Manifest | None = None,
    on: Mapper = map,
    progress: Progress | None = None,
) -> Bundle:
    """Join bundles into one whose answer is the mean of its members' answers, and write it to `into`.

    Every member has one vote: a bundle of five folds has five. The members' own calibrations are left out, because a
    mean of calibrated answers is too cautious (Rahaman and Thiery 2021); the mean is calibrated instead, on `rows`.

    Args:
        bundles: two or more, or their folders; of one task, with the same channels, classes and pixel size.
        rows: rows with a truth that no member learned from; without them the answers stay uncalibrated.
        on: where the rows are predicted, see `predict`.

    Raises:
        BundleError: bundles that do not belong together.
        PlanError: fewer than two, or rows that were learned from.
        AnswerError: answers that have no mean.
    """
    loaded = [one if isinstance(one, Bundle) else Bundle.load(one) for one in bundles]
    if len(loaded) < 2:
        raise PlanError(f"an ensemble of {len(loaded)} bundles", "ensemble", "name two or more")
    for one in loaded[1:]:
        _refuse_strangers(loaded[0], one)
    plans = tuple(member.plan for one in loaded for member in one.members)
    data = [dict(one.card.data) for one in loaded]
    same = {str(facts.get("fingerprint")) for facts in data}
    card = Card(
        loaded[0].card.task,
        plans,
        data={
            **(data[0] if len(same) == 1 else {}),
            "simulated": any(facts.get("simulated") for facts in data),
            "members": data,
        },
        validation={"members": [dict(one.card.validation) for one in loaded]},
    )
    widest = max(loaded, key=lambda one: max(plan.window for plan in one.card.plans))
    made = Bundle(card, tuple(member for one in loaded for member in one.members), widest.examples)
    made(made.examples)  # answers that have no mean are refused before anything is written
    if rows is not None:
        known = rows.where(rows.table["truth"].notna())
        seen = described(known)["fingerprint"]
        if seen in same:
            raise PlanError(
                "the rows to calibrate on are those a member learned from", str(rows.folder), "name other rows"
            )
        made = replace(made, card=replace(card, trust=_trust(made, known, on, progress)))
    return made.save(Path(into))


def _trust(made: Bundle, rows: Manifest, on: Mapper, progress: Progress | None) -> Fitted:
    told = predict(rows, made, into=None, on=on, progress=progress)
    return calibration(told, made.task, made.card.plan.classes)


def _refuse_strangers(first: Bundle, other: Bundle) -> None:
    pairs = [("task", first.card.task, other.card.task)]
    pairs += [(what, getattr(first.card.plan, what), getattr(other.card.plan, what)) for what in ALIKE]
    for what, ours, theirs in pairs:
        if ours != theirs:
            raise BundleError(
                f"the bundles do not answer about the same: {what} {ours!r} beside {theirs!r}",
                str(other.folder or "ensemble"),
                "join bundles that learned the same question from images of the same kind",
            )
