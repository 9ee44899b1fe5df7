"""The verb `explain`: a manifest and a bundle in, a map for every image out, each with what it was tested by."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from potency.bundle.member import NetworkMember
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.data.tiles import FITTINGS
from potency.errors import AnswerError, PlanError
from potency.explanation import faithful, find_method
from potency.explanation.account import REFERENCE
from potency.explanation.choice import ENOUGH, Case, fitted
from potency.explanation.method import Method, Told
from potency.explanation.picture import write_map
from potency.explanation.progress import Inside, Progress
from potency.explanation.relevance import Run, Score
from potency.explanation.written import finished
from potency.inference.claim import claimed
from potency.inference.origin import keep, kept
from potency.inference.store import WHOLE, Store, fingerprint
from potency.inference.view import View, windows
from potency.inference.work import describe
from potency.tasks import Focus

if TYPE_CHECKING:
    from potency.bundle import Bundle

WORDS = ("label", "way")  # cells that have no mean


@dataclass(frozen=True)
class Explained:
    """One image explained.

    Attributes:
        values: the map (C, H, W) on the image.
        pixels: the image (C, H, W) as the model reads it.
        cells: what the map is of, and how it did in its tests, by part of its column.
    """

    values: NDArray[np.float32]
    pixels: NDArray[Any]
    cells: Mapping[str, Any]


def explain(
    manifest: Manifest,
    bundle: Bundle,
    *,
    into: str | Path,
    method: str = "relevance",
    focus: Focus | None = None,
    checks: bool = True,
    name: str = "explanation",
    progress: Progress | None = None,
) -> Manifest:
    """Explain the answer to every row; a row that fails keeps its error in `<name>.error`, the rest goes on.

    Args:
        manifest: the rows.
        bundle: networks; of an ensemble the mean map of its members.
        into: folder of the maps (float32 TIFF, with what they were tested by in their description; beside each a
            picture), and of `explanations.parquet` and `.csv`. Rows that are done are kept, as in `predict`.
        method: a name of `METHODS`.
        focus: which score is explained; by default the task's first, for the class each image is taken for.
        checks: test each map by deletion, insertion and a small shift, and the method by a network without knowledge.
        name: the column.
        progress: called with (rows done, rows in all), of a row that is explained window by window in fractions.

    Returns:
        The manifest with the column `name` (path of the map) and its parts: `.label`, `.way` (of the method's ladder,
        the one that suits the network: chosen on at most 16 of the rows), `.score`, its parts `.input`, `.bias`,
        `.absorbed` and the score `.empty` of the background alone (see `account.shares`), and of the tests `.deletion`,
        `.insertion` (area beyond chance; above 0 is better), `.stability`, `.likeness` (correlations).

    Raises:
        PlanError: there is no such method, score or class; or the bundle holds no network.
        PotencyError: `into` cannot be written, or is in use by another process.
    """
    explainer, folder = Explainer(bundle, find_method(method), focus or Focus(), checks), Path(into)
    with claimed(folder):
        rows = manifest.records()
        explainer.suit(manifest, rows, folder, name)
        identity = f"{bundle.fingerprint} {explainer.exactly} {name} {REFERENCE}"  # parts were shares before
        store = Store(folder / "parts")
        keys = [fingerprint(identity, manifest.paths(row), [row["id"]]) for row in rows]
        errors: dict[str, str] = {}
        for done, (key, row) in enumerate(zip(keys, rows, strict=True)):
            inside = Inside(progress, done, len(rows))
            inside(0.0)
            if key in store.done:
                continue
            try:
                found = explainer(View.of(manifest, row, explainer.members[0].plan), inside)
                path = write_map(folder, str(row["id"]), key, method, found)
            except Exception as fault:  # readers and decoders raise whatever they like
                if isinstance(fault, PlanError) or fault is inside.fault:  # not this row's: others would fail alike
                    raise
                errors[key] = describe(fault)
                continue
            cells = {name: path, **{f"{name}.{part}": value for part, value in found.cells.items()}}
            store.add([(key, WHOLE, cells)])
        if progress is not None:
            progress(len(rows), len(rows))
        return finished(manifest, store, keys, errors, folder, name)


def _exact(focus: Focus) -> str:
    """A focus in words of which nothing is left out, as torch leaves out the middle of a long embedding."""
    like = None if focus.like is None else focus.like.tolist()
    return repr((focus.score, focus.label, focus.against, like))


class Explainer:
    """A bundle, a method and a score: called on a view of an image it gives the map and what became of its tests.

    Raises:
        PlanError: the bundle holds no network, or its task has nothing to explain.
    """

    def __init__(self, bundle: Bundle, method: Method, focus: Focus, checks: bool) -> None:
        self.bundle, self.method, self.focus, self.checks = bundle, method, focus, checks
        self.members = [member for member in bundle.members if isinstance(member, NetworkMember)]
        if not self.members:
            raise PlanError(
                "the bundle holds no network, and a map of pixels needs one", str(bundle.folder or "bundle"),
                "explain a bundle that was trained with --network",
            )  # fmt: skip
        if not bundle.task.scores and focus.score != "similarity":
            raise PlanError(f"{bundle.task.name} learns an embedding, which has no score of its own", "score",
                            "explain what an image resembles: --like IMAGE")  # fmt: skip
        self.methods = [method] * len(self.members)
        self.forgetful = [faithful.forgetful(member.nets).eval() for member in self.members] if checks else []

    @property
    def exactly(self) -> str:
        """What maps are of and how they are made, in words."""
        ways = " ".join(own.way for own in self.methods)
        return f"{self.method.title} {ways} {_exact(self.focus)} {self.checks}"

    def suit(self, manifest: Manifest, rows: Sequence[dict[str, Any]], folder: Path, name: str) -> None:
        """Take, for each network, the way of the method that suits it, as `folder` keeps it since it was chosen.

        Where it keeps none it is chosen on some rows spread over all. Those that cannot be read are passed over: they
        say so in their turn. What too few images left open is not kept.
        """
        of, known = f"{self.bundle.fingerprint} {self.method.title}", kept(folder, name).get("ways")
        known = known if isinstance(known, dict) else {}
        if (ways := self._ways(known.get(of))) is not None:
            self.methods = ways
        elif self.method.ladder and rows:
            chosen = self._choose(manifest, rows)
            known |= {of: [own.way for own in self.methods]} if chosen >= faithful.FEWEST else {}
        keep(folder, name, self.bundle, {"method": self.method.title, "ways": known})

    def _ways(self, told: Any) -> list[Method] | None:
        """The method in the ways that were kept; None where they are none of this version's, or not one a network."""
        ways = [str(way) for way in told] if isinstance(told, list) else []
        if len(ways) != len(self.members) or not set(ways) <= set(self.method.ladder):
            return None
        return [self.method.taking(way) for way in ways]

    def _choose(self, manifest: Manifest, rows: Sequence[dict[str, Any]]) -> int:
        """Choose the ways on some rows; gives how many of them served."""
        seen = []
        for at in np.unique(np.linspace(0, len(rows) - 1, min(ENOUGH, len(rows))).astype(int)):
            with contextlib.suppress(Exception):
                view = View.of(manifest, rows[at], self.members[0].plan)
                seen.append(np.asarray(view.crop(windows(view.shape, self.members[0].plan)[0])))
        return self.fit(seen)

    def fit(self, crops: Sequence[NDArray[Any]]) -> int:
        """Choose, for each network, the way of the method that suits it on these (C, H, W); gives how many served."""
        asked = []
        for window in crops:
            with contextlib.suppress(AnswerError):  # there is nothing to explain; its row says so in its turn
                asked.append((window, replace(self.focus, label=self._label(window))))
        for place, member in enumerate(self.members):
            run, plan = self._run(member.nets), member.plan
            cases = [
                Case(torch.from_numpy(member.crops([{"image": window}])), self._score(plan, what),
                     _silent(run, self._drawn(plan, what)))
                for window, what in asked
            ]  # fmt: skip
            with _ruled():
                self.methods[place] = fitted(self.method, run, cases)
        return len(asked)

    def __call__(self, view: View, told: Callable[[float], object] | None = None) -> Explained:
        """The map of a view, window by window; `told` is called with the share of them that is done."""
        tiles, parts = windows(view.shape, self.members[0].plan), []
        for tile in tiles:
            parts.append((tile, self.tile(np.asarray(view.crop(tile)))))
            if told is not None and len(tiles) > 1:
                told(len(parts) / len(tiles))
        if len(parts) == 1 and parts[0][1].values.shape[1:] == view.shape:
            return parts[0][1]
        channels = len(parts[0][1].values)
        values, seen = np.zeros((channels, *view.shape), np.float32), np.zeros(view.shape, np.float32)
        pixels = np.zeros((len(parts[0][1].pixels), *view.shape), parts[0][1].pixels.dtype)
        for tile, found in parts:
            inner = tuple(tile.window(view.shape).values())
            values[(slice(None), *inner)] += found.values
            seen[inner] += 1
            pixels[(slice(None), *inner)] = found.pixels
        every = [found.cells for _, found in parts]
        cells = {part: every[0][part] if part in WORDS else float(np.mean([cells[part] for cells in every]))
                 for part in every[0]}  # fmt: skip
        return Explained(np.asarray(values / np.maximum(seen, 1), np.float32), pixels, cells)

    def tile(self, pixels: NDArray[Any]) -> Explained:
        """One window (C, H, W): the mean over members of the map, and of what is said of it."""
        label = self._label(pixels)
        told = [self._member(member, i, pixels, label) for i, member in enumerate(self.members)]
        values = np.asarray(np.mean([found for found, _ in told], axis=0), np.float32)
        cells = {part: float(np.mean([cells[part] for _, cells in told])) for part in told[0][1]}
        ways = {"way": ", ".join(own.way for own in self.methods)} if self.method.ladder else {}
        return Explained(values, pixels, {"label": label, **ways, **cells})

    def _label(self, pixels: NDArray[Any]) -> str:
        """The class that is explained: the one asked for, or that which all members together take the image for."""
        if self.focus.label or not self.bundle.task.answer.labelled:
            return self.focus.label
        label = str(self.bundle([{"image": pixels}])[0].cells(Path(), "answer")["answer"])
        if label == self.focus.against:
            raise AnswerError(f"the answer is {label!r} itself", "against", "name the class that is explained, too")
        return label

    def _member(
        self, member: NetworkMember, place: int, pixels: NDArray[Any], label: str
    ) -> tuple[NDArray[np.float32], dict[str, float]]:
        images = torch.from_numpy(member.crops([{"image": pixels}]))
        run, score = self._run(member.nets), self._score(member.plan, replace(self.focus, label=label))
        method = self.methods[place]
        with _ruled():
            found = method(run, score, images)
        cells = {"score": float(found.score[0])} | {part: float(value[0]) for part, value in found.parts.items()}
        if self.checks:
            curves = faithful.curves(_silent(run, self._drawn(member.plan, replace(self.focus, label=label))), images,
                                     found.values)  # fmt: skip
            without = method(self._run(self.forgetful[place]), score, images).values
            cells |= {
                "deletion": float(curves.deletion[0]),
                "insertion": float(curves.insertion[0]),
                "stability": float(faithful.stability(method, run, score, images, found.values)[0]),
                "likeness": float(faithful.alike(found.values, without)[0]),
            }
        values = found.values[0].detach().numpy()
        return FITTINGS[member.plan.fitting].undo(values, pixels.shape[1:]), cells

    def _run(self, nets: nn.Module) -> Run:
        assert isinstance(nets, nn.ModuleDict)
        return lambda images: self.bundle.task.forward(nets, {"image": images})

    def _score(self, plan: Plan, what: Focus) -> Score:
        return lambda output: self.bundle.task.focus(output, plan, what)

    def _drawn(self, plan: Plan, what: Focus) -> Score:
        """The number that curves are drawn of: a probability where there is one."""
        last = what.score if what.score == "similarity" else self.bundle.task.scores[-1]
        return self._score(plan, replace(what, score=last))


@contextlib.contextmanager
def _ruled() -> Iterator[None]:
    """A network with an operation that no rule passes is refused with what to do instead."""
    try:
        yield
    except NotImplementedError as fault:
        raise PlanError(str(fault), "method", "choose integrated or occlusion, which need no rules") from fault


def _silent(run: Run, drawn: Score) -> Told:
    def told(images: Tensor) -> Tensor:
        with torch.no_grad():
            return drawn(run(images))

    return told


def verdict(table: Any, name: str = "explanation") -> list[str]:
    """What the tests of all rows say against a method, in words; [] where it passes or was not tested."""
    if f"{name}.deletion" not in table:
        return []
    rows = table[table[f"{name}.deletion"].notna()]
    told = (np.asarray(rows[f"{name}.{part}"], np.float32) for part in faithful.TESTS)
    return faithful.failing(*told)
