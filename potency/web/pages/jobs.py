"""The long work of a person: where it stands, what it made, and how to stop it, repeat it, delete it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.responses import FileResponse

from potency.web.files import kept
from potency.web.frame import Here, Pages
from potency.web.jobs import Job
from potency.web.room import Room
from potency.web.work import KINDS

pages = Pages(("Jobs", "/jobs"))


@dataclass(frozen=True)
class Listed:
    """The jobs of a person, newest first; `full`: the disk is, so that nothing is begun.

    `room` is how much of what they may keep is taken.
    """

    jobs: list[Job]
    full: bool
    room: Room


@dataclass(frozen=True)
class Shown:
    """One job, its kind of work, what it tells while it runs; `place` is a page of its own, where its kind has one."""

    job: Job
    kind: str
    template: str
    full: bool
    live: dict[str, Any]
    head: str
    place: str


@pages.page("/jobs", "jobs.html")
def jobs(visit: Here) -> Listed:
    """The list of jobs."""
    return Listed(visit.jobs.of(visit.person.id), _full(visit), visit.room)


@pages.page("/jobs/{job}", "job.html")
def one(visit: Here, job: str) -> Shown:
    """One job: its progress while it runs, its result when it is done."""
    found = visit.jobs.find(job, visit.person.id)
    kind = KINDS.get(found.kind)
    if kind is None:
        return Shown(found, found.kind, "work/none.html", _full(visit), {}, "", "")
    live = dict(kind.live(visit.store.place("jobs", found.id))) if kind.live else {}
    return Shown(found, kind.title, kind.template, _full(visit), live, kind.head, kind.place(found))


def _page(job: Job) -> str:
    """Where a job is looked at: its kind's own page, else that of every job."""
    kind = KINDS.get(job.kind)
    return (kind.place(job) if kind else "") or f"/jobs/{job.id}"


@pages.action("/jobs/{job}/cancel", then=_page, role="reader")
def cancel(visit: Here, job: str) -> Job:
    """Take a job back."""
    found = visit.jobs.find(job, visit.person.id)
    visit.jobs.cancel(found.id)
    visit.note("cancel", job)
    return visit.jobs.find(job)


@pages.action("/jobs/{job}/again", then=lambda job: f"/jobs/{job.id}", role="reader")
def again(visit: Here, job: str) -> Job:
    """Put a job that failed or was cancelled back in line."""
    found = visit.jobs.find(job, visit.person.id)
    visit.room.needed(found.title)
    visit.jobs.again(found.id)
    visit.note("again", job)
    return visit.jobs.find(job)


@pages.action("/jobs/{job}/delete", then=lambda _: "/jobs", role="reader")
def delete(visit: Here, job: str) -> Job:
    """Delete a job that has ended, and all it made."""
    found = visit.jobs.find(job, visit.person.id)
    visit.jobs.forget(found.id)
    visit.note("delete job", job)
    return found


@pages.router.get("/jobs/{job}/files/{name:path}", include_in_schema=False)
def file(visit: Here, job: str, name: str) -> FileResponse:
    """A file that a job made."""
    found = visit.jobs.find(job, visit.person.id)
    folder: Path = visit.store.place("jobs", found.id)
    return kept(folder, name)


def _full(visit: Here) -> bool:
    return visit.store.free < visit.settings.limits.free
