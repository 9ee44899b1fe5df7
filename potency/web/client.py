"""The five verbs on another machine: `potency.Client(url)` sends rows to a web tool and brings back what they leave."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.errors import ManifestError, PlanError, PotencyError
from potency.web.asking import Asking, error_of
from potency.web.sending import sent

if TYPE_CHECKING:
    from potency.bundle import Bundle
    from potency.data.manifest import Manifest
    from potency.data.plan import Plan
    from potency.tasks import Focus

Progress = Callable[[float, float], object]
STEP, SLOWEST = 0.2, 2.0  # seconds between two looks at a job: soon at first, then less often
TOGETHER = 16  # images of one request for answers at once
DONE = ("done", "failed", "cancelled")


class Client:
    """A web tool (`potency serve`) as the place where the work is done; rows in and files out are as at home.

    Images are sent once: a call that was stopped, or one about the same images, sends what is missing. Work that was
    asked for goes on while nobody waits for it, and the page of the tool shows it.

    Args:
        url: where the tool is, as `potency serve` printed it.
        key: a key made on its page "Account", or the token; needless on one's own machine.
        patience: seconds during which a server that is away or busy is asked again.

    Raises:
        PotencyError: this is no address. Later, of whatever class it had there: what went wrong on the server.

    >>> Client("ftp://lab")
    Traceback (most recent call last):
    potency.errors.PotencyError: this is no address of a web tool
    where: ftp://lab
    mend: give the one that `potency serve` prints, like http://127.0.0.1:8765/
    """

    def __init__(self, url: str, key: str = "", *, patience: float = 60.0) -> None:
        self.asking = Asking(url, key, patience)

    def models(self) -> list[dict[str, Any]]:
        """The models there are: `id`, `title`, `answer`, `classes` ... of each."""
        found: list[dict[str, Any]] = self.asking.get("models.json")["models"]
        return found

    def answer(self, images: Sequence[str | Path], bundle: str) -> list[dict[str, Any]]:
        """Ask about a few images at once, without a job: the cells of each row, or its `error`.

        >>> Client("http://127.0.0.1:8765/").answer(["a.png"], "example:medium")  # doctest: +SKIP
        [{'name': 'a.png', 'prediction': 'stem', ...}]
        """
        found: list[dict[str, Any]] = []
        for i in range(0, len(images), TOGETHER):
            files = [(Path(path).name, Path(path).read_bytes()) for path in images[i : i + TOGETHER]]
            found += self.asking.post("predict.json", files, model=bundle)["answers"]
        return found

    def predict(self, manifest: str | Path | Manifest, bundle: str, *, into: str | Path, name: str = "prediction",
                precision: str = "auto", progress: Progress | None = None) -> Manifest:  # fmt: skip
        """Predict every row, as `potency.predict` does; `bundle` is the id of a model there (see `models`)."""
        rows = _rows(manifest)
        job = self._asked("predict", rows, bundle, {"name": name, "precision": precision}, progress)
        return self._rows_back(job, rows, Path(into), "predictions")

    def explain(self, manifest: str | Path | Manifest, bundle: str, *, into: str | Path,
                method: str = "relevance", focus: Focus | None = None, checks: bool = True,
                progress: Progress | None = None) -> Manifest:  # fmt: skip
        """Explain the answer to every row, as `potency.explain` does; `focus.like` is not sent."""
        if focus is not None and focus.like is not None:
            raise PlanError("likeness to an embedding is not explained from afar", "focus",
                            "explain with a bundle on this machine")  # fmt: skip
        words = {} if focus is None else {"score": focus.score, "label": focus.label, "against": focus.against}
        rows = _rows(manifest)
        job = self._asked("explain", rows, bundle, {"method": method, "checks": checks, **words}, progress)
        return self._rows_back(job, rows, Path(into), "explanations")

    def measure(self, manifest: str | Path | Manifest, *, into: str | Path,
                families: Sequence[str] = ("shape", "intensity"), objects: str = "", naming: str = "regionprops",
                progress: Progress | None = None) -> Manifest:  # fmt: skip
        """Measure every image, as `potency.measure` does, or every object of the label images in a column."""
        options = {"families": list(families), "objects": objects, "naming": naming}
        rows = _rows(manifest)
        if objects and objects not in rows.files:
            rows = replace(rows, kinds={**rows.kinds, objects: "file"})
        job = self._asked("measure", rows, "", options, progress)
        return self._rows_back(job, rows, Path(into), "measured", joined=not objects)

    def evaluate(self, manifest: str | Path | Manifest, *, into: str | Path, truth: str = "truth",
                 predictions: Sequence[str] = ("prediction",), by: str = "group", draws: int = 1000,
                 seed: int = 0) -> dict[str, Any]:  # fmt: skip
        """Compare predictions with the truth, as `potency.evaluate` does; `report.json`, with the page beside it.

        Only the table is sent, and files only where answers lie in files.
        """
        options = {"truth": truth, "predictions": list(predictions), "by": by, "draws": draws, "seed": seed}
        job = self._asked("evaluate", _rows(manifest), "", options, None, images=False)
        self._fetched(job, Path(into))
        found: dict[str, Any] = json.loads((Path(into) / "report.json").read_text("utf-8"))
        return found

    def train(self, manifest: str | Path | Manifest, task: str = "", *, into: str | Path,
              plan: Plan | None = None, start: str = "", folds: int = 0, holdout: bool = False,
              progress: Progress | None = None) -> Bundle:  # fmt: skip
        """Train one model, as `potency.train` does; with `folds` the whole protocol, whose report comes along.

        The model stays on the shelf of the tool too, where `start` and the other verbs find it by its id; that stands
        in the file `model.txt` of `into`.
        """
        options = {"task": task, "plan": plan.json() if plan else {}, "folds": folds, "holdout": holdout}
        job = self._asked("train", _rows(manifest), start, options, progress)
        self._fetched(job, Path(into))
        (Path(into) / "model.txt").write_text(job["result"]["model"] + "\n", "utf-8")
        from potency.bundle import Bundle

        return Bundle.load(Path(into) / "bundle")

    def _asked(self, verb: str, rows: Manifest, model: str, options: Mapping[str, Any], progress: Progress | None,
               images: bool = True) -> dict[str, Any]:  # fmt: skip
        """Send rows, put a verb in line for them, wait until it has ended."""
        set = sent(self.asking, rows, images)
        fields = {"set": set, "options": json.dumps(options)} | ({"model": model} if model else {})
        job: dict[str, Any] = self.asking.post(f"verbs/{verb}.json", (), **fields)
        pause = STEP
        while job["state"] not in DONE:
            time.sleep(pause)
            pause = min(1.2 * pause, SLOWEST)
            job = self.asking.get(f"jobs/{job['id']}.json")["job"]
            if progress is not None and job["total"]:
                progress(job["done"], job["total"])
        if job["state"] == "cancelled":
            raise PotencyError("the job was cancelled", f"{self.asking.url}jobs/{job['id']}", "ask again")
        if job["state"] == "failed":
            raise error_of(job["error"])
        return job

    def _fetched(self, job: Mapping[str, Any], into: Path) -> None:
        """Bring the files of a job; those that are there from an earlier call are left."""
        for file in job["result"]["files"]:
            parts = Path(file["name"]).parts
            if ".." in parts or Path(file["name"]).is_absolute():
                raise PotencyError("the server names a file outside the folder", file["name"], "check the address")
            self.asking.fetch(f"jobs/{job['id']}/files/answers/{file['name']}", into.joinpath(*parts), file["bytes"])

    def _rows_back(
        self, job: Mapping[str, Any], rows: Manifest, into: Path, table: str, joined: bool = True
    ) -> Manifest:
        """The rows with the columns that the job gave them, written as the verb would have written them here."""
        from potency.data.manifest import Manifest

        self._fetched(job, into)
        made = Manifest.read(into / f"{table}.parquet")
        if not joined:
            return made
        here = rows.placed(into)
        if len(made) != len(here) or made.table["id"].tolist() != here.table["id"].tolist():
            raise ManifestError("the rows that came back are not those that were sent", str(into), "ask again")
        own = {name: here.table[name].array for name in here.files if name in made.table.columns}
        made = replace(made, table=made.table.assign(**own), kinds={**rows.kinds, **made.kinds}, folder=into)
        for end in ("parquet", "csv"):
            made.write(into / f"{table}.{end}")
        return made


def _rows(source: str | Path | Manifest) -> Manifest:
    from potency.data.manifest import Manifest

    return source if isinstance(source, Manifest) else Manifest.read(source)
