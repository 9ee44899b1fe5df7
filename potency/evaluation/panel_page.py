"""Lays the findings about a panel of readers out: tables for any page, and a self-contained page of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from potency.evaluation.drawing import MAIN, MUTED, OTHER, Plot, ruled, sheet
from potency.evaluation.gallery import Card, Wall
from potency.evaluation.intervals import FEWEST_GROUPS
from potency.evaluation.paper import printed
from potency.evaluation.tables import Table
from potency.evaluation.wording import chance, count, figure, inline, known, spoken

if TYPE_CHECKING:
    from potency.evaluation.panel_records import Findings, Line
    from potency.evaluation.results import Interval

TITLES = {
    "fleiss": "Fleiss' kappa", "alpha": "Krippendorff's alpha", "icc21": "ICC(2,1)", "icc31": "ICC(3,1)",
    "same": "Same answer", "kappa": "Cohen's kappa", "accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy",
    "mean_difference": "Mean difference", "mae": "Mean abs. error", "bias": "Bias", "concordance": "Concordance",
    "limits_low": "Lower limit", "limits_high": "Upper limit",
}  # fmt: skip
SHARES = ("fleiss", "alpha", "same", "icc21", "icc31")  # printed as shares of one, .87
LEAD = {"category": "accuracy", "number": "mae"}


def title(name: str, classes: Sequence[str] = ()) -> str:
    """The heading of a column of figures.

    >>> title("recall.fate", ("stem", "fate")), title("icc21")
    ('Sensitivity (fate)', 'ICC(2,1)')
    """
    if name.startswith("recall.") and len(classes) == 2:
        label = name.removeprefix("recall.")
        return f"{'Sensitivity' if label == classes[1] else 'Specificity'} ({label})"
    return TITLES.get(name, known(name)[0])


def verdict(found: Findings) -> str:
    """The study in a sentence or two."""
    readers = {line.reader for line in found.lines if line.round}
    if not readers:
        return "Nobody has answered yet."
    said = []
    lead, change = LEAD[found.kind], found.change.get("readers") or found.change.get("these")
    first = [line.figures[lead] for line in found.lines if line.round == 1 and lead in line.figures]
    if first:
        mean = sum(one.value for one in first) / len(first)
        unit = lead == "accuracy"
        rest = f", the mean of {len(first)} readers in round one" if len(first) > 1 else " in round one"
        said.append(f"{title(lead)} {figure(mean, 2, unit)}{rest}.")
    if change is not None:
        told = "too few groups for an interval"
        if change.low is not None and change.high is not None:
            inside, up = change.low <= 0 <= change.high, (change.value > 0) == (lead == "accuracy")
            told = "inconclusive" if inside else "better" if up else "worse"
        said.append(f"Round two less round one: {spoken(change, lead, signed=True)} ({told}).")
    for one in found.agreement[:1]:
        name = "fleiss" if found.kind == "category" else "icc21"
        if name in one.figures:
            said.append(f"{TITLES[name]} of {one.readers} readers {_spoken(one.figures[name], name)}.")
    return " ".join(said) or f"{count(len(readers), 'reader')} answered; no figure can be formed yet."


def tables(found: Findings) -> dict[str, Table]:
    """Every table by its heading, empty ones left out."""
    made = {
        "Readers": _readers(found),
        "Round two less round one": _changes(found),
        "Readers less the model alone": _against(found),
        "Agreement of all readers": _agreement(found),
        "Agreement of pairs": _pairs(found),
        "Agreement with oneself": _again(found),
        "Time": _time(found),
        "By experience": _tiers(found),
    }
    return {heading: table for heading, table in made.items() if table.rows}


def confusions(found: Findings) -> dict[str, Table]:
    """The confusion matrix of each reader, round and the model."""
    head = ("truly \\ said", *found.classes, "cannot tell", "another class")
    sheets = {}
    for line in found.lines:
        if line.confusion:
            rows = tuple((true, *map(str, row)) for true, row in zip(found.classes, line.confusion, strict=True))
            sheets[called(line)] = Table(head[: len(rows[0])], rows)
    return sheets


def called(line: Line) -> str:
    """A line by its name: "anna, round 1"."""
    return f"{line.reader}, round {line.round}" if line.round else "the model alone"


def plot(found: Findings) -> Plot | None:
    """The leading figure of each reader and round and of the model, with its interval."""
    lead = LEAD[found.kind]
    drawn = [(called(line), line.round, line.figures[lead]) for line in found.lines if lead in line.figures]
    if len(drawn) < 2:
        return None
    with sheet(640, 60 + 22 * len(drawn)) as paper:
        (axes,) = paper.axes()
        for place, (_, round, one) in enumerate(drawn):
            colour = {0: MUTED, 1: MAIN}.get(round, OTHER)
            if one.low is not None and one.high is not None:
                axes.plot([one.low, one.high], [-place, -place], color=colour, linewidth=1.6)
            axes.plot([one.value], [-place], "o", color=colour, markersize=5)
        axes.set_yticks([-place for place in range(len(drawn))], [name[:40] for name, _, _ in drawn])
        ruled(axes, title(lead) + (f" ({found.unit})" if found.unit and lead == "mae" else ""), grid="x")
        look = "A dot is a reader in a round, grey the model alone; the line is the 95 % interval."
        return Plot("readers", f"{title(lead)} of each reader", look, paper.svg("readers", look), wide=True)


def page(found: Findings, facts: Mapping[str, Any], picture: Callable[[str], str]) -> str:
    """The whole page as text.

    Args:
        facts: `title`, `subtitle`, `simulated`, `settings` (pairs of name and value), `names` (of images by id).
        picture: the data URI of an image by its id, "" where there is none.
    """
    drawn = plot(found)
    return printed(
        "evaluation/panel.html", title=facts["title"], subtitle=facts.get("subtitle", ""), verdict=verdict(found),
        simulated=bool(facts.get("simulated")), lines=method(found), plots=[drawn] if drawn else [],
        tables=tables(found), confusions=confusions(found), wall=_wall(found, facts.get("names", {}), picture),
        settings=Table(("what", "how"), tuple((str(n), str(v)) for n, v in facts.get("settings", ()))),
        banners=[note for note in found.notes if note.startswith("groups unknown")],
    )  # fmt: skip


def method(found: Findings) -> list[str]:
    """How the figures were made, in sentences."""
    over = (f"whole groups of images ({found.groups})" if found.groups_known else
            f"single images ({found.groups}), because no groups are known")  # fmt: skip
    said = [*([f"In brackets: 95 % intervals, drawn over {over}."] if found.groups >= FEWEST_GROUPS else []),
            "An image that is shown twice counts once against the truth, by its first showing; who cannot tell has "
            "given no answer, which is counted and no mistake."]  # fmt: skip
    if found.change and found.groups >= FEWEST_GROUPS:
        like = "drawn over readers as well, so it holds for readers like these" if "readers" in found.change else (
            "drawn over images only: it holds for these readers and says nothing of others")  # fmt: skip
        said.append(f"The mean change of readers is {like}.")
    if found.agreement and found.kind == "number":
        said.append("ICC(2,1) asks for the same number, ICC(3,1) only for the same order and distances (Shrout and "
                    "Fleiss 1979); both rest on images that all readers of the round have answered.")  # fmt: skip
    return [*said, *(f"{note[:1].upper()}{note[1:]}." for note in found.notes)]


def _spoken(one: Interval | None, name: str, signed: bool = False) -> str:
    return spoken(one, "accuracy" if name in SHARES else name, signed)


def _cells(figures: Mapping[str, Interval], names: Sequence[str], signed: bool = False) -> tuple[str, ...]:
    return tuple(_spoken(figures.get(name), name, signed) for name in names)


def _names(rows: Sequence[Mapping[str, Interval]]) -> list[str]:
    """The figures that any row has, in the order of the first that has them."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _against_truth(name: str, classes: Sequence[str]) -> str:
    return "Kappa with the truth" if name == "kappa" else title(name, classes)


def _readers(found: Findings) -> Table:
    names = _names([line.figures for line in found.lines])
    head = ("Reader", "Round", "Answered", "Cannot tell", *(_against_truth(name, found.classes) for name in names))
    rows = [(line.reader if line.round else "the model", str(line.round or "alone"), str(line.answered),
             str(line.unsure), *_cells(line.figures, names)) for line in found.lines]  # fmt: skip
    note = f"Numbers in {found.unit}." if found.unit else ""
    return Table(head, tuple(rows), note)


def _changes(found: Findings) -> Table:
    names = _names([change.differences for change in found.changes])
    right = found.kind == "category" and bool(names)
    head = ("Reader", "Images", *(title(name, found.classes) for name in names), "Same answer in both",
            *(("Became right", "Became wrong", "McNemar") if right else ()))  # fmt: skip
    rows = [(change.reader, str(change.images), *_cells(change.differences, names, signed=True),
             "–" if change.same is None else figure(change.same, 2, unit=True),
             *((str(change.to_right), str(change.to_wrong), chance(change.mcnemar_p)) if right else ()))
            for change in found.changes]  # fmt: skip
    lead = LEAD[found.kind]
    notes = []
    if "these" in found.change:
        notes.append(f"Mean of these readers: {inline(lead)} {spoken(found.change['these'], lead, signed=True)}.")
    if "readers" in found.change:
        notes.append(f"For readers like these: {spoken(found.change['readers'], lead, signed=True)}.")
    return Table(head, tuple(rows), " ".join(notes))


def _against(found: Findings) -> Table:
    names = _names([change.differences for change in found.against])
    head = ("Reader", "Round", "Images", *(title(name, found.classes) for name in names), "McNemar")
    rows = [(one.reader, str(one.round), str(one.images), *_cells(one.differences, names, signed=True),
             chance(one.mcnemar_p) or "–") for one in found.against]  # fmt: skip
    return Table(head, tuple(rows), "Above zero: the reader's figure is the higher one." if rows else "")


def _agreement(found: Findings) -> Table:
    names = _names([one.figures for one in found.agreement])
    rows = [(f"round {one.round}", str(one.readers), str(one.images), *_cells(one.figures, names))
            for one in found.agreement]  # fmt: skip
    return Table(("", "Readers", "Images", *map(title, names)), tuple(rows))


def _pairs(found: Findings) -> Table:
    names = _names([one.figures for one in found.pairs])
    rows = [(f"{one.first} and {one.second}", str(one.round), str(one.images), *_cells(one.figures, names))
            for one in found.pairs]  # fmt: skip
    note = "The limits hold 95 % of the differences of two readers (Bland and Altman 1986)."
    return Table(("Readers", "Round", "Images", *map(title, names)), tuple(rows), note if "limits_low" in names else "")


def _again(found: Findings) -> Table:
    lines = [line for line in found.lines if line.twice]
    names = _names([line.again for line in lines])
    rows = [(line.reader, str(line.round), str(line.twice), *_cells(line.again, names)) for line in lines]
    return Table(("Reader", "Round", "Shown twice", *map(title, names)), tuple(rows))


def _time(found: Findings) -> Table:
    lines = [line for line in found.lines if line.seconds]
    sure = any(line.confidence is not None for line in lines)
    rows = []
    for line in lines:
        low, middle, high = (f"{second:.1f}" for second in line.seconds)
        told = ("–" if line.confidence is None else f"{line.confidence:.1f}",) if sure else ()
        rows.append((line.reader, str(line.round), f"{middle} s", f"{low} to {high} s", *told))
    more = ("Mean confidence (1 to 5)",) if sure else ()
    return Table(("Reader", "Round", "Median an image", "Middle half", *more), tuple(rows))


def _tiers(found: Findings) -> Table:
    lead = LEAD[found.kind]
    rows = [(tier.name, str(tier.round), str(tier.readers), spoken(tier.mean, lead)) for tier in found.tiers]
    return Table(("Experience", "Round", "Readers", f"Mean {inline(lead)}"), tuple(rows))


def _wall(found: Findings, names: Mapping[str, str], picture: Callable[[str], str]) -> Wall | None:
    cards = tuple(
        Card(picture(one.id), f"truly {one.truth}" if one.truth else names.get(one.id, one.id), said(one.said),
             names.get(one.id, one.id))
        for one in found.disputes
    )  # fmt: skip
    look = "Each line: a class (or number), and who gave it in which round."
    return Wall("The images on which readers differ most", look, cards) if cards else None


def said(answers: Sequence[tuple[str, int, str]]) -> tuple[str, ...]:
    """Who said what, a line an answer of a round.

    >>> said((("anna", 1, "stem"), ("ben", 1, "stem"), ("anna", 2, "fate")))
    ('round 1: stem (anna, ben)', 'round 2: fate (anna)')
    """
    by: dict[tuple[int, str], list[str]] = {}
    for reader, round, answer in answers:
        by.setdefault((round, answer), []).append(reader)
    return tuple(f"round {round}: {answer} ({', '.join(who)})" for (round, answer), who in sorted(by.items()))
