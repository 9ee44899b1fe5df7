"""System nsc-web: the web tool started and asked as a browser asks it: class, probability, sets, maps, and how fast."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.errors import MissingExtra, PotencyError
from potency.evaluation.tables import Grid
from potency.systems.arms import Answered, Problem, judge, paper
from potency.systems.comparison import Scene
from potency.systems.recipe import Budget, Fact, Order, Recipe

if TYPE_CHECKING:
    import pandas as pd

    from potency.data.manifest import Manifest

QUICK, DEFAULT, FULL = Budget("quick", (), cells=6), Budget("default", (), cells=36), Budget("full", (), cells=200)
SEED = 77  # another than those that the models learned from
PATIENCE = 600.0  # seconds that one answer may take before the run is given up
PAUSE = 0.1  # seconds between two looks
OVER = ("done", "failed", "cancelled")  # states of a job that goes no further
ALONE = 3  # images that are sent one by one; the others come together
MODELS: Mapping[str, Mapping[str, Any]] = {
    "medium": {"look": "brightfield"},
    "pluripotent": {"look": "phase"},
}


@dataclass(frozen=True)
class Timed:
    """What came back for an upload: the rows, and the seconds until its answers and until its first map."""

    rows: list[dict[str, Any]]
    answered: float
    explained: float


class Browser:
    """A visitor of the tool without a browser: the same pages, by their JSON twins."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    def get(self, path: str) -> Any:
        """The JSON of a page."""
        return json.loads(self._asked(path, None, {}))

    def raw(self, path: str) -> bytes:
        """A file or page as bytes."""
        return self._asked(path, None, {"Accept": "text/html"})

    def post(self, path: str, fields: Mapping[str, str], files: Sequence[Path] = ()) -> Any:
        """Send a form as a browser does (multipart); the JSON of the answer."""
        mark = uuid.uuid4().hex
        parts = [f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
                 for name, value in fields.items()]  # fmt: skip
        for file in files:
            head = f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{file.name}"\r\n\r\n'
            parts += [head.encode(), file.read_bytes(), b"\r\n"]
        body = b"".join([*parts, f"--{mark}--\r\n".encode()])
        return json.loads(self._asked(path, body, {"Content-Type": f"multipart/form-data; boundary={mark}"}))

    def _asked(self, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        from urllib.error import HTTPError
        from urllib.request import Request, urlopen

        try:
            with urlopen(Request(self.address + path, body, dict(headers)), timeout=PATIENCE) as answer:
                return bytes(answer.read())
        except HTTPError as error:
            told = error.read().decode("utf-8", "replace")[:300]
            raise PotencyError(f"the page answered {error.code}: {told}", path, "report it with this page") from error

    def ask(self, model: str, files: Sequence[Path], maps: int) -> tuple[str, Timed]:
        """Drop images on the page and wait: the job, and what came of it."""
        begun = time.monotonic()
        job = self.post("/answer.json", {"model": model, "maps": str(maps)}, files)["id"]
        self._until(job, lambda found: bool(found["ready"]), begun)
        answered = explained = time.monotonic() - begun
        if maps:
            self._until(job, lambda found: found["maps"]["done"] > 0 or found["job"]["state"] in OVER, begun)
            explained = time.monotonic() - begun
            # The next upload shall not wait for the maps of this one.
            self._until(job, lambda found: found["job"]["state"] in OVER, begun)
        return job, Timed(self.get(f"/answer/{job}.json?size=2000")["rows"], answered, explained)

    def _until(self, job: str, met: Callable[[Any], bool], begun: float) -> Any:
        while True:
            found = self.get(f"/answer/{job}.json?size=2000")
            if met(found):
                return found
            if found["job"]["state"] == "failed":
                raise PotencyError(found["job"]["error"]["what"], f"job {job}", found["job"]["error"]["mend"])
            if time.monotonic() - begun > PATIENCE:
                raise PotencyError(f"no answer within {PATIENCE:.0f} s", f"job {job}", "try on a machine less busy")
            time.sleep(PAUSE)


def run(order: Order) -> Path:
    """Draw images, start the tool in a place of its own, ask both models through its pages; the page of what came."""
    if not all(find_spec(name) for name in ("fastapi", "uvicorn")):
        raise MissingExtra("fastapi", "web")
    scenes, about = list[Scene](), list[tuple[str, ...]]()
    with serving() as address:
        visitor = Browser(address)
        for name, settings in MODELS.items():
            scenes.append(_scene(name, drawn(order, name, settings), visitor, order))
        for path in ("/about", *(f"/models/example:{name}" for name in MODELS)):
            begun = time.monotonic()
            size = len(visitor.raw(path))
            about.append((path, f"{size / 1000:.1f} kB", f"{time.monotonic() - begun:.2f}"))
    scenes[0] = _with(scenes[0], Grid("Pages about tool and models", ("page", "size", "seconds"), tuple(about)))
    facts = (
        Fact("way in", "upload one image in a browser", "one image or many, dropped in a browser or sent by a script"),
        Fact("answer", "the class", "class, calibrated probabilities, set of classes, warning where an image is "
             "unlike the training images, the most similar training images, and a tested map"),
        Fact("time until the answer", "within minutes", "see each section, in seconds"),
        Fact("models", "differentiation media (real cells); pluripotency", "both, of simulated cells, shipped"),
        Fact("where images go", "", "nowhere: the tool runs on the user's machine"),
    )  # fmt: skip
    return paper(RECIPE, order, scenes, facts, findings=[_said(scene) for scene in scenes])


def drawn(order: Order, name: str, settings: Mapping[str, Any]) -> Manifest:
    """Images of clones that the model never learned from, drawn once."""
    from potency.data.manifest import Manifest
    from potency.simulate import simulate

    place = order.into / f"images-{name}"
    if (place / "parameters.json").is_file():
        cells = Manifest.read(place)
    else:
        order.say(f"simulating images for {name}")
        groups = max(3, order.budget.cells // 6)
        cells = simulate(place, kind="crops", cells=order.budget.cells, groups=groups, wells=1, seed=SEED, **settings)
    if name == "pluripotent":
        fates = cells.table["truth"].eq("stem").map({True: "pluripotent", False: "differentiated"})
        cells = cells.add({"truth": fates.to_numpy()}, "category")
    return cells


@contextmanager
def serving() -> Iterator[str]:
    """The tool in a process and a folder of its own, gone afterwards; its address."""
    with tempfile.TemporaryDirectory(prefix="potency-") as place:
        words = [sys.executable, "-m", "potency", "serve", "--into", place, "--port", "0", "--no-open"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            assert process.stdout is not None
            try:
                line = process.stdout.readline()
                if not line.startswith("open http"):
                    raise PotencyError(f"the tool did not start: {line.strip()[:200]}", "potency serve",
                                       "start it by hand to see why")  # fmt: skip
                yield line.split()[1]
            finally:
                process.terminate()
                process.wait()


def _scene(name: str, cells: Manifest, visitor: Browser, order: Order) -> Scene:
    """Some images one by one, then all the others together; what came back, beside the truth."""
    records = cells.records()
    files = {str(row["id"]): next(iter(cells.paths(row).values())) for row in records}
    alone, together = list(files)[:ALONE], list(files)[ALONE:]
    found: dict[str, dict[str, Any]] = {}
    timed: list[Timed] = []
    for sent, maps in [*(([one], 1) for one in alone), (together, 0)]:
        order.say(f"{name}: asking about {len(sent)} image{'s' * (len(sent) != 1)}")
        job, came = visitor.ask(f"example:{name}", [files[one] for one in sent], maps)
        timed.append(came)
        found |= dict(zip(sent, came.rows, strict=True))
    (order.into / f"{name}-answers.csv").write_bytes(visitor.raw(f"/answer/{job}/table/answers.csv"))
    told = _columns(found)
    answered = cells.add(told, {"prediction": "category"})
    about = (f"{len(files)} simulated images of clones that the model never learned from, sent to the pages of a tool "
             f"that was started for it: {len(alone)} one by one, the others together.")  # fmt: skip
    problem = Problem(name, f"Simulated images, model {name}", about, answered, True)
    scene = judge(problem, Answered(answered, {"prediction": f"example:{name}, by HTTP"}, {}, {}), order)
    truths = {str(row["id"]): str(row["truth"]) for row in records}
    return _with(scene, _times(timed, len(together)), _answers(found, truths))


def _columns(found: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The answers as columns of the table, as `predict` would have written them."""
    import pandas as pd

    return pd.DataFrame([
        {"id": id, "prediction": row["answer"], **{f"prediction.probability.{k}": v
                                                   for k, v in row["probabilities"].items()},
         "prediction.set": " | ".join(row["set"])}
        for id, row in found.items()
    ])  # fmt: skip


def _times(timed: Sequence[Timed], together: int) -> Grid:
    alone = timed[:-1]
    warm = alone[1:] or alone
    rows = (
        ("one image, the first of all (the model is loaded)", f"{alone[0].answered:.1f}", f"{alone[0].explained:.1f}"),
        (f"one image, after that (median of {len(warm)})", f"{statistics.median(t.answered for t in warm):.1f}",
         f"{statistics.median(t.explained for t in warm):.1f}"),
        (f"{together} images together", f"{timed[-1].answered:.1f}", "not asked for"),
    )  # fmt: skip
    note = "From the click to the page that shows it, on this machine; a map comes with its four tests."
    return Grid("Seconds until the answer", ("upload", "answer", "first map"), rows, note)


def _answers(found: Mapping[str, Mapping[str, Any]], truths: Mapping[str, str]) -> Grid:
    rows = []
    for id, row in list(found.items())[:24]:
        drawn = row["map"]
        why = "" if drawn is None else "fails a check" if drawn["fails"] else "passes its checks"
        near = ", ".join(one["label"] for one in row["nearest"])
        rows.append((row["name"], truths[id], row["answer"], f"{row['probability']:.2f}", ", ".join(row["set"]),
                     "yes" if row["unlike"] else "no", near, why))  # fmt: skip
    head = ("image", "truth", "answer", "probability", "set", "unlike", "most similar training images", "map")
    return Grid("What came back", head, tuple(rows), "The first 24 images.")


def _with(scene: Scene, *grids: Grid) -> Scene:
    return replace(scene, grids=(*scene.grids, *grids))


def _said(scene: Scene) -> str:
    times = scene.grids[0].rows
    return (f"{scene.name}: the first answer after {times[0][1]} s, later ones after {times[1][1]} s, a map after "
            f"{times[1][2]} s.")  # fmt: skip


RECIPE = Recipe(
    id="nsc-web",
    title="Web tool: upload an image, get its class (Parthasarathy et al. 2024)",
    area="A",
    missing=("models that learned from real cells: both that ship learned from simulated ones",),
    method="upload one image, a server answers with the class within minutes; also pluripotency; about and code pages",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
