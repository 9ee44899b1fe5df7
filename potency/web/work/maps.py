"""The work behind "why?": maps of what a model looked at, each with the tests that say whether to believe it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.errors import PlanError, PotencyError
from potency.web import layers
from potency.web.answers import METHODS, Map, maps_of, read, write_maps
from potency.web.jobs import Jobs
from potency.web.work.kind import Kind, Order, Progress
from potency.web.work.models import loaded
from potency.web.work.rows import looked_at, manifest_of

if TYPE_CHECKING:
    from potency.bundle import Bundle
    from potency.data.manifest import Manifest

METHOD = "relevance"
EXPLAINED = 24  # images that get a map at once; more on request, a map costs as much as many answers
TOGETHER = 8  # maps between two times that the page is told of them; the first ones choose the way of the method
TESTS = ("deletion", "insertion", "stability", "likeness")


def run(order: Order) -> Mapping[str, Any]:
    """Draw maps for more images of a job that has answered, into its folder.

    Raises:
        PotencyError: the answers are gone.
    """
    asked = Jobs(order.store).find(order.arguments["job"], order.owner)
    folder = order.store.place("jobs", asked.id)
    found = read(folder)
    if found is None:
        raise PotencyError("this job has no answers to explain", asked.title, "ask again")
    order.progress(0, 0, "loading the model")
    bundle = loaded(order.shelf.folder(asked.arguments["model"]))
    looked = looked_at(order.sets, asked.arguments["set"], str(asked.arguments.get("channel", "")))
    manifest, _ = manifest_of(order.sets, asked.arguments["set"], **looked)
    named = order.arguments.get("files") or [row.file for row in found.rows]
    wanted = [row.file for row in found.rows if row.file in set(named) and not row.error]
    method = str(order.arguments.get("method") or METHOD)
    try:
        draw(folder, manifest, bundle, wanted, method, order.progress)
    finally:
        if order.store.row("SELECT 1 FROM jobs WHERE id = ?", asked.id) is None:
            order.store.remove("jobs", asked.id)  # deleted meanwhile, by whoever asked
    return {"job": asked.id, "maps": len(wanted), "method": method}


def draw(
    folder: Path, manifest: Manifest, bundle: Bundle, wanted: Sequence[str], method: str, progress: Progress
) -> None:
    """Explain the rows of these ids and keep what the maps say in the folder of a job; those that are there stay.

    Where the method does not suit the model, each image is told so.
    """
    from potency.data.parts import number
    from potency.explanation.explain import explain

    place = folder / f"maps-{method}"
    parts = {str(row["id"]): (number(row, "t"), number(row, "z")) for row in manifest.records()}
    progress(0, len(wanted), "drawing maps")
    for start in range(0, len(wanted), TOGETHER):
        some = set(wanted[start : start + TOGETHER])
        rows = manifest.where(manifest.table["id"].isin(some).tolist())
        there = {file: one for file, one in maps_of(folder).items() if one.method == method}
        try:
            made = explain(rows, bundle, into=place, method=method, progress=_from(start, len(wanted), progress))
        except PlanError as error:  # the method does not suit the model: no other image would fare better
            fails = [f"{error.what}: {error.mend}"]
            write_maps(folder, method, {file: Map("", "", method, fails=fails) for file in wanted} | there)
            return
        new = {str(row["id"]): _map(place, row, method) for row in made.table.to_dict("records")}
        write_maps(folder, method, there | new)
        layers.write(folder, laid(maps_of(folder), parts))


def laid(
    maps: Mapping[str, Map], parts: Mapping[str, tuple[int | None, int | None]]
) -> dict[str, list[layers.Layer]]:
    """The maps of a job as layers over their images, by the id of the image's file; `parts`: their time and plane.

    >>> one = Map("a.png", "G1", "relevance", ["says"], ["fails"], values="a.tif")
    >>> laid({"f": one, "none": Map("", "", "relevance")}, {})["f"][0].title
    'Relevance for G1'
    """
    return {
        file: [layers.Layer(
            name=f"map-{one.method}", kind="map",
            title=f"{one.method.capitalize()} for {one.label}".removesuffix(" for "),
            path=one.values, t=parts.get(file, (None, None))[0], z=parts.get(file, (None, None))[1],
            ends=(f"against {one.label}", f"for {one.label}") if one.label else (),
            about=f"Where the model looked: {METHODS.get(one.method, one.method)}. Full colour is the strongest of "
                  "this image; it says nothing of how sure the model is.",
            says=one.says, fails=one.fails,
        )]
        for file, one in maps.items() if one.values
    }  # fmt: skip


def _from(start: int, total: int, progress: Progress) -> Callable[[float, int], object]:
    return lambda done, _: progress(start + done, total, "drawing maps")


def _map(place: Path, row: Mapping[Any, Any], method: str) -> Map:
    """One explained row for a page: the map over its image, and its tests in words."""
    from potency.explanation.account import shares
    from potency.explanation.picture import overlay

    if not isinstance(row.get("explanation"), str):
        return Map("", "", method, fails=[str(row.get("explanation.error") or "it could not be drawn").split("\n")[0]])
    path = place / row["explanation"]
    picture = path.with_suffix(".over.png")
    if not picture.is_file():
        overlay(path).save(picture)
    cells = {str(name).removeprefix("explanation."): value for name, value in row.items()}
    numbers = {name: float(cells[name]) for name in TESTS if _known(cells.get(name))}
    account = shares(cells) if _known(cells.get("input")) else {}
    if "input" in account and math.isfinite(account["input"]):
        numbers["input"] = float(account["input"])
    label = str(cells.get("label") or "")
    return Map(picture.relative_to(place.parent).as_posix(), label, method, said(numbers, label), failed(numbers),
               numbers, _graded(path).relative_to(place.parent).as_posix())  # fmt: skip


def _graded(path: Path) -> Path:
    """The map as the viewer lays it over the image: one plane from -1 to 1, beside the map that was written."""
    import tifffile

    from potency.explanation.picture import graded, read_map

    made = path.with_suffix(".over.tif")
    if not made.is_file():
        part = made.with_name(f".{made.name}.{os.getpid()}")
        tifffile.imwrite(part, graded(read_map(path)[0]), photometric="minisblack", compression="zlib",
                         rowsperstrip=256, metadata=None)  # fmt: skip
        part.replace(made)
    return made


def said(numbers: Mapping[str, float], label: str) -> list[str]:
    """How a map did in its tests, in words; of a number without figures, for they have its unit.

    >>> said({"deletion": 0.402, "insertion": 0.263, "likeness": 0.03}, "G1")[0]
    'Hiding first what it marks lowers the probability of G1 by 40 points more than hiding at random.'
    """
    lines = []
    if "deletion" in numbers:
        what = f"the probability of {label} {_points(numbers['deletion'])}" if label else (
            f"the number {_more(numbers['deletion'])}")  # fmt: skip
        lines.append(f"Hiding first what it marks lowers {what} than hiding at random.")
    if "insertion" in numbers:
        how = (_points if label else _more)(numbers["insertion"])
        lines.append(f"Showing first what it marks raises it {how} than showing at random.")
    if "stability" in numbers:
        same = "stays much the same" if numbers["stability"] >= 0.5 else "changes"
        lines.append(f"Where the image is moved by 2 px, the map {same} (correlation {numbers['stability']:.2f}).")
    if "likeness" in numbers:
        other = "much the same map" if abs(numbers["likeness"]) > 0.5 else "another map"
        lines.append(f"A network with shuffled weights gives {other} (correlation {numbers['likeness']:.2f}).")
    if "input" in numbers:
        lines.append(f"{100 * numbers['input']:.0f} % of the score beyond that of an empty image comes from pixels.")
    return lines


def failed(numbers: Mapping[str, float]) -> list[str]:
    """Which of its tests one map fails, in words, by the limits that methods are held to; [] where it passes.

    >>> failed({"deletion": -0.1, "insertion": 0.02}), failed({"deletion": 0.4, "insertion": 0.2})
    (['hiding what it marks changes the answer no more than hiding anything else'], [])
    """
    found = []
    if {"deletion", "insertion"} <= set(numbers) and numbers["deletion"] + numbers["insertion"] <= 0:
        found.append("hiding what it marks changes the answer no more than hiding anything else")
    if numbers.get("stability", 1.0) < 0.5:
        found.append("it changes when the image moves by 2 px")
    if abs(numbers.get("likeness", 0.0)) > 0.5:
        found.append("a network with shuffled weights gives much the same map")
    return found


def _points(gain: float) -> str:
    return f"by {abs(100 * gain):.0f} points {'more' if gain > 0 else 'less'}"


def _more(gain: float) -> str:
    return "more" if gain > 0 else "less"


def _known(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


KIND = Kind("maps", "Why? Maps", "work/maps.html", run, place=lambda job: f"/answer/{job.arguments['job']}")
