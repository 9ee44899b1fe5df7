"""Journey "reader study", the side of who makes it: images, questions, readers, results, report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Form, UploadFile
from starlette.responses import FileResponse, Response, StreamingResponse

from potency.errors import PotencyError
from potency.web import figures, tally
from potency.web.frame import Here, Pages
from potency.web.intake import TABLES, Taken, cleaned
from potency.web.jobs import Job, Missing
from potency.web.planned import Asked, planned
from potency.web.sets import ImageSet
from potency.web.shelf import Model
from potency.web.studies import Progress, Studies, Study
from potency.web.truths import FOLDERS, NAMES, Known, grouped, known, rows_of, suggested

pages = Pages(("Reader study", "/reading"))


@dataclass(frozen=True)
class Reads:
    """A study that this person reads in."""

    code: str
    title: str
    reader: str
    name: str
    state: str


@dataclass(frozen=True)
class Listed:
    """The studies that a person has made, those they read in, and the images they could ask about."""

    studies: list[Study]
    reads: list[Reads]
    sets: list[ImageSet]


@dataclass(frozen=True)
class Choice:
    """What a new study of a set could ask: what is known of its images, and the models for a second round.

    `groups` says how file names tell what belongs together; `truth` and `group` are what is chosen at first.
    """

    set: ImageSet
    images: int
    known: list[Known]
    groups: str
    truth: str
    group: str
    models: list[Model]


@dataclass(frozen=True)
class Shown:
    """A study: `how` it was made, who reads, how far they are; `job` prepares it, `reports` were written of it."""

    study: Study
    how: list[tuple[str, str]]
    readers: list[Progress]
    job: Job | None
    reports: list[Job]


@dataclass(frozen=True, kw_only=True)
class Results(figures.Outcome):
    """What came out of a study by now.

    Attributes:
        of: on how many answers all this rests, None where nothing was worked out yet; there are `answers` by now.
        job: works out newer figures, or failed to; `full`: the disk is, so that nothing is begun.
    """

    study: Study
    of: int | None
    answers: int
    job: Job | None
    full: bool


@pages.page("/reading", "reading/list.html")
def listed(visit: Here) -> Listed:
    """The list of studies."""
    reads = visit.store.rows(
        "SELECT code, title, state, readers.id AS reader, name FROM readers JOIN studies ON studies.id = study "
        "WHERE person = ? ORDER BY readers.created DESC LIMIT 50", visit.person.id)  # fmt: skip
    return Listed(_studies(visit).all(), [Reads(**row) for row in reads], visit.sets.all())


@pages.page("/reading/new", "reading/new.html", role="analyst")
def new(visit: Here, set: str) -> Choice:
    """The form of a new study of a set."""
    from potency.data.columns import TRUTH
    from potency.data.groups import LEVELS

    found = visit.sets.find(set)
    images = rows_of(visit.sets, set)
    told, groups = known(visit.sets, set), grouped(visit.sets, set, {})[1]
    levels = ("group", *(word for level, _ in LEVELS.values() for word in level))  # the most independent first
    named = next(filter(None, (suggested(told, (word,)) for word in levels)), "")
    group = named or (NAMES if groups else "")
    return Choice(found, len(images), told, groups, suggested(told, TRUTH, FOLDERS), group,
                  visit.shelf.all("category", "number"))  # fmt: skip


@pages.action("/reading/table", then=lambda taken: f"/reading/new?set={taken.set}")
def table(visit: Here, set: Annotated[str, Form()], file: Annotated[UploadFile, Form()]) -> Taken:
    """Add a table of labels to a set: a column that names the images, and others."""
    visit.sets.find(set)
    if not cleaned(file.filename or "").lower().endswith(TABLES):
        raise PotencyError("this is no table", cleaned(file.filename or ""), "give CSV, TSV, Excel or Parquet")
    return visit.intake.take([file], into=set)


@pages.action("/reading", then=lambda study: f"/reading/{study.id}")
def make(visit: Here, asked: Annotated[Asked, Form()]) -> Study:
    """Make a study; its pictures are drawn by a job, then readers may come. A second click makes no second one."""
    visit.room.needed("the study")
    facts, images = planned(asked, visit.sets, visit.shelf)
    studies = _studies(visit)
    title = asked.title.strip() or visit.sets.find(asked.set).title
    same = studies.just_made(str(facts["asked"]))
    if same is not None:
        return same
    study = studies.make(title, facts, images)
    job = visit.ask("study", study.title, facts["model"], study=study.id)
    studies.set_job(study.id, job.id)
    return studies.find(study.id)


@pages.page("/reading/{study}", "reading/study.html", role="analyst")
def one(visit: Here, study: str) -> Shown:
    """One study."""
    studies = _studies(visit)
    found = studies.find(study)
    reports = [job for job in visit.jobs.of(visit.person.id, ("reading",)) if job.arguments.get("study") == study]
    try:
        job = visit.jobs.find(found.job, visit.person.id) if found.state == "preparing" else None
    except Missing:
        job = None
    if job is not None and job.state == "done":  # it ended between the two looks
        found = studies.find(study)
    return Shown(found, tally.settings_of(found), studies.progress(study), job, reports)


@pages.page("/reading/{study}/results", "reading/results.html", role="analyst")
def results(visit: Here, study: str) -> Results:
    """What came out so far; where that takes long, it is made by a job while the page says so."""
    return _results(visit, study)


@pages.action("/reading/{study}/results", then=lambda shown: f"/reading/{shown.study.id}/results")
def renew(visit: Here, study: str) -> Results:
    """Work the figures out anew, of all answers that there are by now."""
    return _results(visit, study, anew=True)


@pages.action("/reading/{study}/close", then=lambda study: f"/reading/{study.id}")
def close(visit: Here, study: str) -> Study:
    """Close a study: no more answers, and readers may see how they did."""
    visit.note("close study", study)
    return _studies(visit).close(study)


@pages.action("/reading/{study}/report", then=lambda job: f"/jobs/{job.id}")
def report(visit: Here, study: str) -> Job:
    """Write the report of a closed study; it is kept until it is deleted."""
    found = _studies(visit).find(study)
    if found.state != "closed":
        raise PotencyError("the study is not closed", found.title, "close it first: a report is written at the end")
    return visit.ask("reading", found.title, study=study)


@pages.action("/reading/{study}/delete", then=lambda _: "/reading")
def delete(visit: Here, study: str) -> Study:
    """Delete a study, its pictures and all answers; reports that were written stay."""
    found = _studies(visit).find(study)
    if found.job:
        visit.jobs.cancel(found.job)
    _studies(visit).forget(study)
    visit.note("delete study", study)
    return found


@pages.router.get("/reading/{study}/pictures/{number}", include_in_schema=False)
def picture(visit: Here, study: str, number: int) -> FileResponse:
    """An image as readers saw it, for who made the study."""
    found = _studies(visit).find(study)
    path = _studies(visit).picture(found.id, number)
    if not path.is_file():
        raise Missing("there is no such picture", str(number), "go back to the study")
    return FileResponse(path, media_type="image/png")


@pages.router.get("/reading/{study}/answers.csv", include_in_schema=False)
def answers(visit: Here, study: str) -> StreamingResponse:
    """All answers as a table, sent while it is made."""
    found = _studies(visit).find(study)
    return StreamingResponse(tally.sheet_of_answers(_studies(visit), found), headers=_as_file("answers.csv"),
                             media_type="text/csv; charset=utf-8")  # fmt: skip


@pages.router.get("/reading/{study}/answers/{reader}/{round}.csv", include_in_schema=False)
def answers_of(visit: Here, study: str, reader: str, round: int) -> Response:
    """One reader's round as `potency reader --answers` takes it."""
    studies = _studies(visit)
    found = studies.find(study)
    name = next((one.name for one in studies.readers(study) if one.id == reader), None)
    if name is None:
        raise Missing("there is no such reader", reader[:40], "go back to the study")
    return _csv(*tally.sheet_of_reader(studies, found, name, round))


def _csv(text: str, name: str) -> Response:
    return Response(text, media_type="text/csv; charset=utf-8", headers=_as_file(name))


def _as_file(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}


def _studies(visit: Here) -> Studies:
    return Studies(visit.store, visit.person.id)


def _results(visit: Here, study: str, anew: bool = False) -> Results:
    studies = _studies(visit)
    found = studies.find(study)
    made, job = figures.current(studies, found, anew)
    return Results(
        study=found, of=made.answers if made else None, answers=studies.stand(study)[0], job=job,
        full=visit.store.free < visit.settings.limits.free, **(made.shown() if made else {}),
    )  # fmt: skip
