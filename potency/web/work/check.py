"""The work before learning: what is wrong with images and labels, how they were understood, what it would take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from potency.errors import PotencyError
from potency.web.sets import File
from potency.web.work import effort
from potency.web.work.kind import Kind, Order
from potency.web.work.labelled import WORDS, called, labelled, tables, usual

if TYPE_CHECKING:
    from potency.data.findings import Finding
    from potency.data.manifest import Manifest

THUMBS = 6  # images shown of a class, and of a finding
GROUPS = 60  # listed one by one
BINS = 12


def run(order: Order) -> Mapping[str, Any]:
    """Read every image once and say all that `potency check` says, and what a training would do.

    Labels that cannot be understood are a result too: the page asks for others.
    """
    words, set = order.arguments, str(order.arguments["set"])
    order.progress(0, 0, "reading labels")
    facts = {"set": set, "words": {name: str(words.get(name) or "") for name in WORDS}, **_offers(order, set)}
    try:
        manifest, files = labelled(order.sets, set, words)
        task = effort.task_of(manifest)
    except PotencyError as error:
        return {**facts, "fault": _shown(order, error)}
    findings = manifest.check(progress=order.step("checking images"))
    ids = _ids(manifest, files)
    told = {kind: [_finding(one, ids) for one in found]
            for kind, found in (("faults", findings.faults), ("warnings", findings.warnings))}  # fmt: skip
    facts |= {"fault": None, **told, **understood(manifest, ids)}
    if not findings:
        order.progress(0, 0, "planning")
        try:
            facts |= {"split": _dealt(manifest), "efforts": _efforts(order, manifest, task.name)}
        except PotencyError as error:
            facts["fault"] = _shown(order, error)
    return facts


def understood(manifest: Manifest, ids: Mapping[str, str]) -> dict[str, Any]:
    """How rows were understood: where labels and groups come from, how many there are of each; `ids` by row."""
    table = manifest.table.assign(file=manifest.table["id"].map(lambda name: ids.get(str(name), "")))
    known = table[table["truth"].notna()]
    counted = known["group"].value_counts()
    facts: dict[str, Any] = {
        "rows": len(table), "kind": manifest.kinds.get("truth", ""), "channels": list(manifest.channels),
        "how": {name: str(manifest.origin[name]) for name in ("truth", "group", "file names", "plate map", "split")
                if name in manifest.origin},
        "groups_known": manifest.groups_known, "groups": int(counted.size),
        "group_rows": [{"name": str(name), "images": int(count)} for name, count in counted.head(GROUPS).items()],
    }  # fmt: skip
    if facts["kind"] in ("category", "labelset"):
        facts["classes"] = [
            {"name": name, "images": len(part), "groups": int(part["group"].nunique()), "files": _some(part["file"])}
            for name, part in ((name, known[known["truth"] == name]) for name in manifest.classes)
        ]
    elif facts["kind"] == "number":
        facts["numbers"] = _spread(known)
    return facts


def _spread(known: Any) -> dict[str, Any]:
    """Numbers as a histogram, with images from low to high."""
    import numpy as np

    ordered = known.sort_values("truth")
    values = ordered["truth"].to_numpy(float)
    counts, edges = np.histogram(values, BINS)
    at = sorted({round(p) for p in np.linspace(0, len(ordered) - 1, THUMBS)})
    return {
        "low": float(values[0]), "median": float(np.median(values)), "high": float(values[-1]),
        "bins": [{"from": float(a), "to": float(b), "images": int(n)}
                 for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)],
        "files": [{"file": ordered["file"].iloc[k], "value": float(values[k])} for k in at],
    }  # fmt: skip


def _dealt(manifest: Manifest) -> list[dict[str, Any]]:
    """The folds of a thorough training: which groups are tested together."""
    from potency.learning.folds import dealt

    rows = dealt(effort.learned(manifest), "group", effort.EFFORTS["thorough"].folds, 0, "stratified")
    found = []
    for number in sorted({int(fold) for fold in rows.table["fold"] if fold >= 0}):
        part = rows.table[rows.table["fold"] == number]
        names = [str(name) for name in part["group"].unique()]
        found.append({"fold": number + 1, "images": len(part), "groups": len(names), "names": names[:8]})
    return found


def _efforts(order: Order, manifest: Manifest, task: str) -> dict[str, dict[str, Any]]:
    """What each effort would do, in words and with the time that this machine takes."""
    from potency.learning.cost import seconds_a_step, spoken
    from potency.tasks import find_task

    found, taken = {}, 0.0
    for name, one in effort.EFFORTS.items():
        plan = effort.plan_of(manifest, find_task(task), {"effort": name}, order.shelf)
        taken = taken or seconds_a_step(find_task(task), plan)
        folds = min(one.folds, max(2, manifest.table["group"].nunique()))
        found[name] = {
            "time": spoken((folds + 1) * plan.steps * taken + 20), "steps": plan.steps, "folds": folds,
            "network": plan.network, "tile": list(plan.tile), "batch": plan.batch, "pixel_size": plan.pixel_size,
        }  # fmt: skip
    return found


def _offers(order: Order, set: str) -> dict[str, Any]:
    """Where labels could come from: the tables of the set with their columns, its folders, labels typed here."""
    files, paths = order.sets.files(set), order.sets.paths(set)
    images = [file for file in files if not file.facts.get("table")]
    found = []
    for file in tables(files):
        try:
            from potency.data.tables import read_table

            columns = [str(name) for name in read_table(paths[file.id])[0].columns]
            found.append({"file": file.id, "name": file.name, "columns": columns, "error": ""})
        except PotencyError as error:
            found.append({"file": file.id, "name": file.name, "columns": [], "error": error.what})
    return {
        "source": str(order.arguments.get("labels") or usual(order.sets, set)), "tables": found,
        "folders": any("/" in file.name for file in images), "images": len(images),
        "typed": len(order.sets.find(set).facts.get("labels", {})), "title": order.sets.find(set).title,
        "simulated": bool(order.sets.find(set).facts.get("simulated")),
    }  # fmt: skip


def _ids(manifest: Manifest, files: Mapping[str, File]) -> dict[str, str]:
    """The id of the file that a row shows, by the id of the row; of images without a row by their name."""
    from potency.data.named import common

    there = {name: file.id for name, file in called([*files.values()]).items() if file.error is None}
    top = common([*called([*files.values()])])
    rows = zip(manifest.table["id"].astype(str), manifest.table["image"].astype(str), strict=True)
    shown = {id: files[stored].id for id, stored in rows if stored in files and files[stored].error is None}
    return {name.removeprefix(top): id for name, id in there.items()} | shown


def _finding(one: Finding, ids: Mapping[str, str]) -> dict[str, Any]:
    return {"code": one.code, "what": one.what, "where": one.where, "mend": one.mend, "rows": len(one.rows),
            "files": [ids[row] for row in one.rows if row in ids][:THUMBS]}  # fmt: skip


def _shown(order: Order, error: PotencyError) -> dict[str, str]:
    place = str(order.store.place("sets", str(order.arguments["set"])))
    return {"what": error.what, "where": error.where.replace(place, "the images"), "mend": error.mend}


def _some(files: Any) -> list[str]:
    there = [name for name in files if name]
    return there[:: max(1, len(there) // THUMBS)][:THUMBS]


KIND = Kind("check", "Check before training", "work/check.html", run, head="work/train.head.html")
