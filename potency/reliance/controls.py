"""The verb `controls`: what a model's answers rest on; without a model, what the images alone tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.data.columns import simulated
from potency.data.groups import evenly
from potency.errors import ManifestError, PlanError
from potency.evaluation.evaluate import evaluate
from potency.evaluation.results import Report
from potency.reliance import numbers, power
from potency.reliance.alterations import Alteration, alterations
from potency.reliance.asking import MAIN, Asking, Seen
from potency.reliance.beyond import beyond
from potency.reliance.held import Held, held
from potency.reliance.result import CHANCE, Controls, octave
from potency.reliance.spectrum import spectrum_of

if TYPE_CHECKING:
    from potency.bundle import Bundle
    from potency.data.manifest import Manifest
    from potency.data.plan import Plan

MOST_ROWS = 1000
FOLDS = 5
FEW = "the groups are too few to be dealt into folds"
LOOKED_AT = 64  # rows whose size is looked at first, for the bands
Progress = Callable[[float, float, str], object]


def controls(
    manifest: Manifest,
    model: str | Path | Bundle | None = None,
    *,
    most: int = MOST_ROWS,
    draws: int = 1000,
    seed: int = 0,
    even_seen: bool = False,
    progress: Progress | None = None,
) -> Controls:
    """Take from the images one thing after another, and see what the model's answers were resting on.

    - The power spectrum of each class, in cycles per um where the pixel size is known, else per pixel.
    - The score with each octave of frequencies removed, and with each kept alone.
    - The score on images with mixed phases (the same spectrum, no arrangement) and with mixed tiles.
    - One plain number (variance, brightness, texture, focus, foreground, density) as a classifier beside the network,
      and whether the network's score goes with it beyond what the truth explains.

    Every figure has an interval over groups, every comparison is paired. Only rows that the model has not learned from
    are asked for, see `held`.

    Args:
        manifest: rows with a truth (classes or a number) and groups.
        model: a run of `train`, a bundle's folder, or a bundle; None: spectra and plain numbers only.
        most: rows looked at; of more, as many of every group.
        draws: of the bootstrap over groups.
        even_seen: ask a model even for the rows it has learned from; the page then says so first.
        progress: called with (done, total, what).

    Raises:
        ManifestError: no truth, truths all alike, no readable image. PlanError: the model has learned from these rows.
    """
    _refuse(manifest)
    found = None if model is None else _answering(held(manifest, model, even_seen), manifest)
    rows = manifest.where(manifest.table["truth"].notna()) if found is None else found.rows
    mask = evenly(rows.table["group"], most, seed)
    found = found.some(mask) if found is not None else None
    rows = _plain(rows.where(mask.tolist()))
    if rows.table["truth"].nunique() < 2:
        raise ManifestError("the truths of the rows that may be asked for are all alike", str(manifest.folder),
                            "give rows of at least two classes")  # fmt: skip
    plan = _plan(rows, found)
    seen, asking = _looked(rows, found, plan, seed, progress)
    places = sorted(seen.numbers)
    if not places:
        what = f"none of {len(rows)} images could be read; the first: {next(iter(seen.unread.values()), '')}"
        raise ManifestError(what, str(manifest.folder), "see `potency check`")
    rows = replace(rows, table=rows.table.iloc[places].reset_index(drop=True))
    ground = _ground(rows, found, places, asking, (most, seed), progress)
    report = _altered(rows, seen, places, asking, (draws, seed)) if found is not None else None
    plain, columns = _numbers(rows, seen, places, ground, (draws, seed))
    category, pixel_size = _category(rows), seen.pixel_size or plan.pixel_size
    facts = _facts(rows, found) | {
        "rows_in_all": len(manifest.table), "unread": len(seen.unread), "draws": draws, "seed": seed,
        "pixel_size": pixel_size, "level": plan.level, "untested": "" if ground is not None else FEW,
    }  # fmt: skip
    spectrum = spectrum_of(seen, places, asking.edges, rows.table, plan.channels, (category, draws, seed))
    told = beyond(rows.table, seen.told(places), columns, (category, draws, seed)) if found is not None else ()
    asked = tuple(asking.alterations if found is not None else ())
    return Controls(facts, spectrum, report, plain, told, asked, _shown(asking, asked, places[0], pixel_size))


def _facts(rows: Manifest, found: Held | None) -> dict[str, Any]:
    """What the page says of the rows, and of how they were chosen."""
    return {
        "rows": len(rows), "groups": int(rows.table["group"].nunique()), "left": 0 if found is None else found.left,
        "how": "" if found is None else found.how, "warning": "" if found is None else found.warning,
        "groups_known": rows.groups_known, "simulated": simulated(rows.table), "folder": str(rows.folder),
        "classes": list(rows.classes) if _category(rows) else [],
    }  # fmt: skip


def _shown(
    asking: Asking, asked: tuple[Alteration, ...], place: int, pixel_size: float | None
) -> tuple[tuple[str, NDArray[Any]], ...]:
    """The first image under every alteration that could be done to it."""
    pixels = asking.read(place, Seen())[0][1] if asked else None
    if pixels is None:
        return ()
    made = [("untouched", pixels)]
    for one in asked:
        altered = asking.altered(one, pixels, place)
        if altered is not None:
            title = one.title or f"{octave(one.band, pixel_size or 1.0)} {one.arm}"
            made.append((title, altered))
    return tuple(made)


def _refuse(manifest: Manifest) -> None:
    where = str(manifest.folder)
    if "truth" not in manifest.table or not manifest.table["truth"].notna().any():
        raise ManifestError("the table has no truth to compare with", where, "name its column with --truth")
    kind = manifest.kinds.get("truth", "category")
    if kind not in ("category", "ordinal", "number"):
        raise ManifestError(f"the truth is a {kind}: controls are for classes and numbers", where,
                            "name another column with --truth")  # fmt: skip


def _answering(found: Held, manifest: Manifest) -> Held:
    """The same, if its models answer with what the truth is."""
    truth = manifest.kinds.get("truth", "category")
    for bundle in found.bundles:
        answer = bundle.task.answer
        if answer.kind != truth and not (answer.labelled and truth != "number"):
            raise PlanError(f"the model answers with a {answer.kind}, the truth is a {truth}",
                            str(bundle.folder or "bundle"), "name a model that learned such a truth")  # fmt: skip
    return found


def _category(rows: Manifest) -> bool:
    return rows.kinds.get("truth", "category") != "number"


def _plain(rows: Manifest) -> Manifest:
    """Without the columns of earlier predictions, whose names are needed here."""
    old = [name for name in rows.table if str(name).startswith(MAIN)]
    kinds = {name: kind for name, kind in rows.kinds.items() if not name.startswith(MAIN)}
    return replace(rows, table=rows.table.drop(columns=old).reset_index(drop=True), kinds=kinds)


def _plan(rows: Manifest, found: Held | None) -> Plan:
    from potency.data.plan import Facts, Plan

    if found is None:
        return Plan.of(Facts.of(rows))
    plans = [plan for bundle in found.bundles for plan in bundle.card.plans]
    high, wide = (max(plan.window[axis] for plan in plans) for axis in (0, 1))
    return plans[0].but(tile=(high, wide))  # each member cuts its own crop out of it


def _looked(
    rows: Manifest, found: Held | None, plan: Plan, seed: int, progress: Progress | None
) -> tuple[Seen, Asking]:
    """Everything read, measured and asked."""
    side = _side(rows, plan)
    seen, asking = Seen(), Asking(rows, plan, alterations(side), power.edges_of(side), seed)
    step = _counted(len(rows), progress, "looking at images" if found is None else "asking the model")
    if found is None:
        asking.ask(None, np.arange(len(rows)), seen, step)
        return seen, asking
    from potency.inference.engine import accelerate

    for bundle, positions in found.each():
        if len(positions):
            asking.ask(accelerate(bundle), positions, seen, step)
    return seen, asking


def _counted(total: int, progress: Progress | None, what: str) -> Callable[[int], object]:
    """Adds up how many rows are done, and tells it."""
    done = 0

    def step(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total, what)

    return step


def _side(rows: Manifest, plan: Plan) -> int:
    """The usual shorter side of a window, in pixels."""
    from potency.inference.view import View, windows

    places = np.unique(np.linspace(0, len(rows) - 1, min(LOOKED_AT, len(rows))).astype(int))
    records, sides = rows.records(), []
    for place in places:
        try:
            tile = windows(View.of(rows, records[place], plan).shape, plan)[0]
        except Exception:  # told row by row when it is read
            continue
        sides.append(min(tile.height, tile.width))
    return max(power.SMALLEST, int(np.median(sides))) if sides else min(plan.tile)


@dataclass(frozen=True, eq=False)
class _Ground:
    """What plain numbers are fitted to: a fold for each row, and other rows (truth, numbers) of a fold of their own."""

    folds: NDArray[np.intp]
    truth: NDArray[Any]
    values: pd.DataFrame


def _ground(
    rows: Manifest, found: Held | None, places: list[int], asking: Asking, how: tuple[int, int],
    progress: Progress | None,
) -> _Ground | None:  # fmt: skip
    """The rows the model learned from where the table marks them, else its folds, else folds dealt by group."""
    most, seed = how
    none = rows.table["truth"].to_numpy()[:0]
    if found is not None and found.learned is not None:
        learned = found.learned.where(evenly(found.learned.table["group"], most, seed).tolist())
        there = Seen()
        step = _counted(len(learned), progress, "measuring rows to learn from")
        replace(asking, rows=learned).ask(None, np.arange(len(learned)), there, step)
        kept = sorted(there.numbers)
        truth = learned.table["truth"].to_numpy()[kept]
        if len(set(truth)) > 1:
            values = pd.DataFrame([there.numbers[place] for place in kept])
            return _Ground(np.zeros(len(rows), np.intp), truth, values)
    if found is not None and len(found.bundles) > 1:
        return _Ground(found.asked[places], none, pd.DataFrame())
    bare = replace(rows, table=rows.table.drop(columns=["split", "fold"], errors="ignore"))
    for count in (FOLDS, 2):
        try:
            folds = bare.split("group", count, seed).table["fold"].to_numpy(dtype=np.intp)
            return _Ground(folds, none, pd.DataFrame())
        except ManifestError:
            continue
    return None


def _joined(rows: Manifest, told: pd.DataFrame, columns: Sequence[str]) -> Manifest:
    """The rows with these answers beside them, at once: classes times alterations are many columns."""
    kinds = {**rows.kinds, **dict.fromkeys(columns, rows.kinds.get("truth", "category"))}
    return replace(rows, table=pd.concat([rows.table, told], axis=1), kinds=kinds)


def _altered(
    rows: Manifest, seen: Seen, places: list[int], asking: Asking, chance: tuple[int, int]
) -> Report:
    """The model on images as they are, beside every alteration and beside guessing."""
    told = seen.told(places)
    truth = rows.table["truth"]
    told[CHANCE] = truth.mode().iloc[0] if _category(rows) else float(truth.astype(float).median())
    names = [f"{MAIN}@{one.name}" for one in asking.alterations if f"{MAIN}@{one.name}" in told]
    columns = (MAIN, *names, CHANCE)
    made = _joined(rows, told, columns)
    facts = {"plan": {"classes": list(asking.plan.classes)}}
    return evaluate(made, predictions=columns, draws=chance[0], seed=chance[1], facts=facts)


def _numbers(
    rows: Manifest, seen: Seen, places: list[int], ground: _Ground | None, chance: tuple[int, int]
) -> tuple[Report | None, pd.DataFrame]:
    """Each plain number as a classifier, the model beside them where there is one; and the numbers themselves."""
    values = pd.DataFrame([seen.numbers[place] for place in places])
    values = values.loc[:, values.nunique() > 1]  # what is the same everywhere tells nothing
    if ground is None or not len(values.columns):
        return None, values
    truth = np.concatenate([rows.table["truth"].to_numpy(), ground.truth])
    folds = np.concatenate([ground.folds, np.full(len(ground.truth), int(ground.folds.max()) + 1, np.intp)])
    every = pd.concat([values, ground.values.reindex(columns=values.columns)]) if len(ground.truth) else values
    made: dict[str, Any] = {}
    for name in [*values, numbers.TOGETHER]:
        own = every.to_numpy(float) if name == numbers.TOGETHER else every[[name]].to_numpy(float)
        made |= numbers.answers(truth, own, folds, f"{MAIN}@{str(name).replace('.', '-')}", _category(rows))
    main = [name for name in made if ".probability." not in name]
    told = pd.DataFrame({name: column[: len(rows)] for name, column in made.items()})
    if any(told[name].isna().all() for name in main):
        return None, values
    asked = seen.told(places)
    mine = [name for name in asked if name == MAIN or str(name).startswith(f"{MAIN}.")]
    told = pd.concat([asked[mine], told], axis=1)
    columns = [*([MAIN] if mine else []), *main]
    return evaluate(_joined(rows, told, columns), predictions=columns, draws=chance[0], seed=chance[1]), values
