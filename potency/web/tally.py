"""Answers of a reader study as figures and as tables: what its owner sees, and what the command line reads."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from potency.web.jobs import Missing
from potency.web.studies import Studies, Study

if TYPE_CHECKING:
    from potency.evaluation.panel import Findings

DRAWS = 1000
SHEET = ("reader", "years", "field", "round", "place", "image", "id", "group", "truth", "model", "answer", "confidence",
         "seconds", "shown", "taken_back", "time")  # fmt: skip


def findings(
    studies: Studies, study: Study, rows: list[dict[str, Any]], progress: Callable[[int, int], object] | None = None
) -> Findings:
    """All that can be said of a study whose answers are `rows`; minutes, where it is large."""
    from potency.evaluation import panel

    return panel.judged(_panel(studies, study, rows), draws=DRAWS, progress=progress)


def _panel(studies: Studies, study: Study, rows: list[dict[str, Any]]) -> Any:
    import pandas as pd

    from potency.evaluation import panel

    images = studies.images(study.id)
    names = {row["number"]: row["row"] for row in images}
    shown = pd.DataFrame({"id": list(names.values())})
    if any(row["truth"] is not None for row in images):
        shown["truth"] = [row["truth"] for row in images]
    if any(row["group"] is not None for row in images):
        shown["group"] = [row["group"] for row in images]
    if study.facts.get("model"):
        shown["model"] = [row["told"].get("answer") for row in images]
    columns = ["reader", "round", "id", "again", "answer", "seconds", "confidence"]
    told = [{**row, "id": names[row["image"]], "again": bool(row["again"]),
             "answer": _answer(row["answer"], study)} for row in rows if row["image"] in names]  # fmt: skip
    answers = pd.DataFrame(told, columns=columns).astype({"seconds": float, "confidence": float, "again": bool})
    readers = tuple(panel.Reader(one.name, one.facts.get("years"), str(one.facts.get("field", "")))
                    for one in studies.readers(study.id))  # fmt: skip
    return panel.Study(shown, answers, readers, study.classes, str(study.facts.get("unit", "")),
                       str(study.facts.get("model_title", "")))  # fmt: skip


def _answer(word: str | None, study: Study) -> Any:
    return word if study.classes or word is None else float(word)


def sheet_of_answers(studies: Studies, study: Study) -> Iterator[str]:
    """All answers as CSV, a row a showing, reader by reader, so that the first is there at once; harmless for
    spreadsheets."""
    images = {row["number"]: row for row in studies.images(study.id)}
    yield ",".join(SHEET) + "\n"
    for reader in studies.readers(study.id):
        yield _lines(studies.answers(study.id, reader.id), images)


def _lines(answers: Sequence[Mapping[str, Any]], images: Mapping[int, Mapping[str, Any]]) -> str:
    """Some answers as lines of the sheet."""
    import pandas as pd

    from potency.data.tables import guarded

    made = []
    for row in answers:
        facts, image = json.loads(row["facts"]), images.get(row["image"])
        if image is not None:
            made.append({
                "reader": row["reader"], "years": facts.get("years"), "field": facts.get("field", ""),
                "round": row["round"], "place": row["place"] + 1, "image": image["name"], "id": image["row"],
                "group": image["group"], "truth": image["truth"], "model": image["told"].get("answer"),
                "answer": row["answer"], "confidence": row["confidence"], "seconds": round(row["seconds"], 2),
                "shown": 2 if row["again"] else 1, "taken_back": row["changes"],
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(row["time"])),
            })  # fmt: skip
    frame = pd.DataFrame(made, columns=list(SHEET))
    return guarded(frame.astype(object)).to_csv(index=False, header=False, lineterminator="\n")


def sheet_of_reader(studies: Studies, study: Study, name: str, round: int) -> tuple[str, str]:
    """One reader's round as `potency reader --answers` takes it (columns id, answer, seconds), and the file's name.

    The id is the code of the row as the page of `potency reader` has it, seed 0, so that both are read alike.

    Raises:
        Missing: that reader has answered nothing in that round.
    """
    import csv
    import io

    from potency.evaluation.reading import code

    images = {row["number"]: row["row"] for row in studies.images(study.id)}
    rows = [row for row in studies.answers(study.id)
            if (row["reader"], row["round"], row["again"]) == (name, round, 0) and row["image"] in images]  # fmt: skip
    if not rows:
        raise Missing("there are no answers of that reader and round", name[:40], "look at the list of readers")
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(["id", "answer", "seconds"])
    for row in rows:
        table.writerow([code(images[row["image"]]), row["answer"] or "", _tenths(row["seconds"])])
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "reader"
    return written.getvalue(), f"{stem}-round{round}.csv" if study.rounds > 1 else f"{stem}.csv"


def _tenths(seconds: float) -> float:
    return round(seconds, 1)


def titled(study: Study) -> str:
    """A study in a line: how many images, rounds, classes."""
    facts = study.facts
    unit = f" in {facts['unit']}" if facts.get("unit") else ""
    asked = f"{len(study.classes)} classes" if study.classes else f"a number{unit}"
    rounds = "two rounds" if study.rounds == 2 else "one round"
    return f"{facts.get('images', 0)} images · {asked} · {rounds}"


def settings_of(study: Study) -> list[tuple[str, str]]:
    """How a study was made, as pairs for a page."""
    facts = study.facts
    span = " to ".join(f"{end:g}" for end in (facts.get("low"), facts.get("high")) if end is not None)
    second = facts.get("model_title") or "without a model"
    pairs = [
        ("Readers give", ", ".join(study.classes) or f"a number {span} {facts.get('unit', '')}".strip()),
        ("Truth", str(facts.get("truths") or "none: readers are compared with each other only")),
        ("Groups", str(facts.get("groups") or "unknown: every image is its own")),
        ("Images", f"{facts.get('images', '-')}, each stretched on its own from its darkest to its brightest "
                   "half per cent"),
    ]  # fmt: skip
    if twice := len(facts.get("repeated", ())):
        pairs.append(("Shown twice in a round", str(twice)))
    why = {"left_out": "without a truth that was asked for", "unread": "that cannot be read"}
    if out := [f"{facts[name]} {words}" for name, words in why.items() if facts.get(name)]:
        pairs.append(("Left out", ", ".join(out)))
    if study.rounds == 2:
        maps = ", with its map" if facts.get("maps") else ""
        pairs.append(("Second round", f"{second}{maps}; images in a new order, {facts.get('washout', 0):g} days after "
                                      "the first"))  # fmt: skip
    return pairs
