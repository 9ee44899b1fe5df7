"""Journey "learn": images with labels in, checked, a model learned with live curves, judged honestly, kept and used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Form, Query, UploadFile

from potency.errors import PotencyError
from potency.web.frame import Here, Pages
from potency.web.jobs import Job
from potency.web.sets import File, ImageSet
from potency.web.shelf import Model
from potency.web.work.effort import EFFORTS, NETWORKS, SPLITS
from potency.web.work.labelled import WORDS

pages = Pages(("Train", "/train"))
SHOWN = 60  # thumbnails on one page
LONGEST = 80  # characters of a label


@dataclass(frozen=True)
class Study:
    """What can be learned from: sets that are here; and the checks and trainings so far, newest first."""

    sets: list[ImageSet]
    jobs: list[Job]
    chosen: str


@dataclass(frozen=True)
class Settings:
    """What a check found, and how it may be learned from."""

    check: Job
    efforts: dict[str, str]
    networks: dict[str, str]
    splits: dict[str, str]
    models: list[Model]


@dataclass(frozen=True)
class Labels:
    """A page of the images of a set with the labels typed so far, and how many have each."""

    set: ImageSet
    files: list[File]
    labels: dict[str, str]
    counts: dict[str, int]
    page: int
    of: int
    images: int


@pages.page("/train", "train.html")
def train(visit: Here, set: str = "") -> Study:
    """Bring images and labels; what was trained before."""
    chosen = visit.sets.find(set).id if set else ""
    jobs = visit.jobs.of(visit.person.id, ("check", "train"), most=20)
    return Study(visit.sets.all(), jobs, chosen)


@pages.action("/train", then=lambda job: f"/jobs/{job.id}")
def check(
    visit: Here,
    set: Annotated[str, Form()] = "",
    files: Annotated[list[UploadFile], Form()] = [],  # noqa: B006
    labels: Annotated[str, Form(max_length=20)] = "",
    truth: Annotated[str, Form(max_length=200)] = "",
    group: Annotated[str, Form(max_length=200)] = "",
    names: Annotated[str, Form(max_length=200)] = "",
) -> Job:
    """Check images and labels: uploaded now, or a set that is here; labels and groups as said, else found."""
    chosen = visit.sets.find(set or visit.intake.take(files).set)
    return visit.ask("check", chosen.title, set=chosen.id, labels=labels, truth=truth.strip(), group=group.strip(),
                     names=names.strip())  # fmt: skip


@pages.page("/train/{check}/settings", "train-settings.html")
def settings(visit: Here, check: str) -> Settings:
    """How to learn from what a check found in order."""
    models = visit.shelf.all("category", "number")
    efforts = {name: one.title for name, one in EFFORTS.items()}
    return Settings(_sound(visit, check), efforts, dict(NETWORKS), dict(SPLITS), models)


@pages.action("/train/{check}/start", then=lambda job: f"/jobs/{job.id}")
def start(
    visit: Here,
    check: str,
    effort: Annotated[str, Form(max_length=20)] = "quick",
    network: Annotated[str, Form(max_length=40)] = "",
    model: Annotated[str, Form(max_length=80)] = "",
    steps: Annotated[int, Form(ge=0, le=200_000)] = 0,
    folds: Annotated[int, Form(ge=0, le=50)] = 0,
    split: Annotated[str, Form(max_length=20)] = "stratified",
) -> Job:
    """Learn from what a check found in order: how thoroughly, with which network or from which model on."""
    found = _sound(visit, check)
    for name, value, known in (("effort", effort, EFFORTS), ("network", network or "tiny", NETWORKS),
                               ("split", split, SPLITS)):  # fmt: skip
        if value not in known:
            raise PotencyError(f"there is no {name} {value!r}", name, "one of " + ", ".join(known))
    if folds == 1:
        raise PotencyError("one fold leaves nothing to learn from", "folds", "ask for two or more")
    if model:
        visit.shelf.find(model)
    words: Mapping[str, Any] = {name: found.arguments.get(name, "") for name in WORDS}
    return visit.ask("train", found.title, set=found.arguments["set"], effort=effort, network=network, start=model,
                     steps=steps, folds=folds, split=split, check=found.id, **words)  # fmt: skip


@pages.action("/train/{job}/title", then=lambda model: f"/models/{model.id}")
def rename(visit: Here, job: str, title: Annotated[str, Form(min_length=1, max_length=120)]) -> Model:
    """Call the model of a training otherwise."""
    found = visit.jobs.find(job, visit.person.id)
    visit.shelf.rename(found.id, title.strip() or found.title)
    visit.note("rename model", found.id)
    return visit.shelf.find(found.id)


@pages.page("/images/{set}/labels", "train-labels.html")
def labels(visit: Here, set: str, page: int = 1, without: Annotated[bool, Query()] = False) -> Labels:
    """The images of a set, to be labelled by hand."""
    found, known = visit.sets.find(set), _typed(visit, set)
    images = [file for file in visit.sets.files(set) if not file.facts.get("table")]
    shown = [file for file in images if file.id not in known] if without else images
    of = max(1, -(-len(shown) // SHOWN))
    page = min(max(1, page), of)
    counts: dict[str, int] = {}
    for label in known.values():
        counts[label] = counts.get(label, 0) + 1
    return Labels(found, shown[(page - 1) * SHOWN : page * SHOWN], known, dict(sorted(counts.items())), page, of,
                  len(images))  # fmt: skip


@pages.action("/images/{set}/labels", then=lambda facts: f"/images/{facts.set.id}/labels?page={facts.page}")
def label(
    visit: Here,
    set: str,
    label: Annotated[str, Form(max_length=LONGEST)] = "",
    within: Annotated[str, Form(max_length=200)] = "",
    chosen: Annotated[list[str], Form()] = [],  # noqa: B006
    page: Annotated[int, Form()] = 1,
) -> Labels:
    """Give images a label (a class or a number): those chosen, and those whose name holds a text; "" takes it away."""
    known, text = _typed(visit, set), within.strip().lower()
    files = [file for file in visit.sets.files(set) if not file.facts.get("table")]
    meant = [file for file in files if file.id in chosen or (text and text in file.name.lower())]
    if not meant:
        what = f"no name holds {within.strip()!r}" if text else "no image was chosen"
        raise PotencyError(what, visit.sets.find(set).title, "tick images, or write a part of their names")
    for file in meant:
        known[file.id] = label.strip()
    visit.sets.remember(set, labels={id: text for id, text in known.items() if text})
    visit.note("label", set)
    return labels(visit, set, page)


def _typed(visit: Here, set: str) -> dict[str, str]:
    return dict(visit.sets.find(set).facts.get("labels", {}))


def _sound(visit: Here, check: str) -> Job:
    """A check that found no fault."""
    found = visit.jobs.find(check, visit.person.id)
    if found.kind != "check" or found.state != "done":
        raise PotencyError("the images are not checked yet", found.title, "wait for the check, or begin a new one")
    wrong = [found.result["fault"]] if found.result.get("fault") else found.result.get("faults", [])
    if wrong:
        raise PotencyError(wrong[0]["what"], wrong[0]["where"], wrong[0]["mend"])
    return found
