"""The figures of a reader study as pages show them: made at once where that is quick, else by a job, and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from potency.data.whole import replaced
from potency.web import tally
from potency.web.jobs import Job, Jobs
from potency.web.studies import Studies, Study

if TYPE_CHECKING:
    from potency.evaluation.panel import Findings
    from potency.evaluation.tables import Table

FILE = "figures.json"  # in the folder of the study
QUICK_ROUNDS, QUICK_IMAGES = 3, 500  # rounds of readers, images: figures of no more take half a second or less
ROWS = 400  # of a table on the page; the JSON has all
MANY = 1_000_000  # a study has one job at a time, so no limit is needed to bound them


@dataclass(frozen=True)
class Sheet:
    """A table of a page: its head, rows of text, and a sentence below."""

    title: str
    head: list[str]
    rows: list[list[str]]
    note: str


@dataclass(frozen=True)
class Mark:
    """A reader in a round (0: the model) in the picture of all: a figure and its interval, 0..100 of the width."""

    name: str
    round: int
    text: str
    at: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Disputed:
    """An image on which readers differ, and who said what."""

    number: int
    name: str
    truth: str
    model: str
    said: list[str]


@dataclass(frozen=True)
class Own:
    """How a reader did in a round, told when the study is closed."""

    round: int
    lines: list[str]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came out, as tables, empty where nothing was worked out yet; `figures` is the same as plain data."""

    verdict: str = ""
    method: list[str] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)
    confusions: list[Sheet] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    scale: str = ""
    disputed: list[Disputed] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def shown(self) -> dict[str, Any]:
        """These fields and no others, by name."""
        return {one.name: getattr(self, one.name) for one in fields(Outcome)}


@dataclass(frozen=True, kw_only=True)
class Figures(Outcome):
    """What is kept of a study.

    Attributes:
        answers, latest: on how many answers it rests, the last of which was given when (seconds since 1970).
        own: what each reader is told, by their name.
    """

    answers: int
    latest: float
    own: dict[str, list[Own]]


def current(studies: Studies, study: Study, anew: bool = False) -> tuple[Figures | None, Job | None]:
    """The figures that are kept, and the job that makes newer ones; a call that takes long for no study.

    While a study is open and figures of an earlier time are kept, newer ones are made only when somebody asks
    (`anew`): else a page that is left open would have them made for as long as people read.
    """
    known, stand = kept(studies, study), studies.stand(study.id)
    if known is not None and (known.answers, known.latest) == stand:
        return known, None
    if quick(studies, study):
        return made(studies, study), None
    jobs = Jobs(studies.store)
    last = next((job for job in jobs.of(study.owner, ("figures",)) if job.arguments.get("study") == study.id), None)
    asked = {"study": study.id, "answers": stand[0], "latest": stand[1]}
    if last is not None and last.arguments == asked and last.state in ("failed", "cancelled"):
        if anew:
            jobs.again(last.id)
        return known, jobs.find(last.id)
    if last is not None and not last.over:
        return known, last
    if known is not None and study.state == "open" and not anew:
        return known, None
    return known, jobs.ask(study.owner, "figures", study.title, asked, MANY)


def quick(studies: Studies, study: Study) -> bool:
    """Whether the figures of a study are made within a request."""
    return studies.rounds_read(study.id) <= QUICK_ROUNDS and int(study.facts.get("images", 0)) <= QUICK_IMAGES


def kept(studies: Studies, study: Study) -> Figures | None:
    """The figures that were made last; None where there are none, or of another version of the program."""
    from pydantic import TypeAdapter, ValidationError

    path = studies.store.place("studies", study.id) / FILE
    try:
        return TypeAdapter(Figures).validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def made(studies: Studies, study: Study, progress: Callable[[int, int], object] | None = None) -> Figures:
    """Make the figures of a study as it stands, and keep them."""
    from pydantic import TypeAdapter

    from potency.evaluation import panel_page
    from potency.evaluation.page import plain

    rows = studies.answers(study.id)
    found = tally.findings(studies, study, rows, progress)
    images = {row["row"]: row for row in studies.images(study.id)}
    disputed = [Disputed(images[one.id]["number"], images[one.id]["name"], one.truth, one.model,
                         list(panel_page.said(one.said))) for one in found.disputes if one.id in images]  # fmt: skip
    marks, scale = _marks(found)
    told = Figures(
        answers=len(rows), latest=max((row["time"] for row in rows), default=0.0), own=_own(found),
        verdict=panel_page.verdict(found), method=panel_page.method(found), sheets=_sheets(panel_page.tables(found)),
        confusions=_sheets(panel_page.confusions(found)), marks=marks, scale=scale, disputed=disputed,
        figures=plain(asdict(found)),
    )  # fmt: skip
    replaced(studies.store.place("studies", study.id) / FILE, TypeAdapter(Figures).dump_json(told))
    return told


def _sheets(tables: dict[str, Table]) -> list[Sheet]:
    return [Sheet(title, list(one.head), [list(row) for row in one.rows[:ROWS]], _noted(one))
            for title, one in tables.items()]  # fmt: skip


def _noted(one: Table) -> str:
    more = f" The first {ROWS} of {len(one.rows)}; the JSON has all." if len(one.rows) > ROWS else ""
    return f"{one.note}{more}".strip()


def _own(found: Findings) -> dict[str, list[Own]]:
    """What each reader is told of themselves, and nobody else."""
    from potency.evaluation.panel_page import title
    from potency.evaluation.wording import spoken

    told: dict[str, list[Own]] = {}
    for line in found.lines:
        if line.round:
            told.setdefault(line.reader, []).append(Own(line.round, [
                f"{line.answered} answered, {line.unsure} you could not tell",
                *(f"{title(name, found.classes)} {spoken(one, name)}" for name, one in line.figures.items()),
                *([f"median {line.seconds[1]:.1f} s an image"] if line.seconds else []),
            ]))  # fmt: skip
    return told


def _marks(made: Findings) -> tuple[list[Mark], str]:
    """Where each reader stands between 0 and the best (accuracy) or the largest error."""
    from potency.evaluation.panel_page import LEAD, called, title
    from potency.evaluation.wording import spoken

    lead = LEAD[made.kind]
    lines = [line for line in made.lines if lead in line.figures]
    if not lines:
        return [], ""
    ends = [end for line in lines for end in (line.figures[lead].value, line.figures[lead].high) if end is not None]
    top = 1.0 if lead == "accuracy" else max(ends) or 1.0

    def placed(value: float | None) -> float | None:
        return None if value is None else round(100 * min(max(value / top, 0.0), 1.0), 2)

    marks = [Mark(called(line), line.round, spoken(line.figures[lead], lead), placed(line.figures[lead].value) or 0.0,
                  placed(line.figures[lead].low), placed(line.figures[lead].high)) for line in lines]  # fmt: skip
    return marks, f"{title(lead)}, 0 to {top:.3g}"
