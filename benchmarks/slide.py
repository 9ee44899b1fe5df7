"""A slide from end to end: `predict` on an image that is never whole in memory; peak memory, time and where it goes.

`python benchmarks/slide.py [--json] [--quick] [--model BUNDLE] [--side PX]`. The slide is simulated cells, written to
an OME-Zarr chunk by chunk: fields of 512 px, turned and laid at random. Without `--model` a U-Net of the usual size
learns them for a minute or two; how good it is, is not the question here. The work is done in a child process:
`s_per_mpix` is its time by the clock, `cpu_s_per_mpix` that of all cores together, `peak_gib` how far its memory rises
above where it stood with the model loaded. `share_*` are parts of the time: reading, network, decoding, and writing and
joining tiles. Another row answers a part of the slide in tiles of two sizes; `f1` takes one answer as truth.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported: threads that spin are noise

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from side_by_side import tell

from potency.answers import Labels
from potency.bundle import Bundle
from potency.data.manifest import Manifest
from potency.data.plan import Facts
from potency.inference import view
from potency.inference.engine import Engine
from potency.inference.predict import predict
from potency.learning.planning import planned
from potency.learning.train import train
from potency.simulate import World, simulate
from potency.simulate.survey import visits
from potency.simulate.world import wells_of
from potency.tasks import find_task

FIELD, FIELDS = 512, 12  # px a side of a simulated field, and how many different ones a slide is made of
CELLS = 250  # in such a field
SIDE, QUICK, PART = 20_480, 8192, 4096  # px a side of the slide, of a quick one, of what is answered twice
STEPS = 80
LOOK: dict[str, Any] = {"look": "phase", "classes": 2, "hours": (8.0, 20.0), "pixel_size": 1.3}


def written(folder: Path, side: int, seed: int = 1) -> Path:
    """A slide of `side` px as OME-Zarr; of its pixels a field at a time is in memory."""
    world = World(cells=CELLS * FIELDS, groups=1, wells=FIELDS, field=FIELD, seed=seed, **LOOK)
    fields = [visit.field.pictures["phase"] for visit in visits(world, wells_of(world))]
    rng, path = np.random.default_rng(0), folder / "slide.zarr"
    group = zarr.create_group(str(path), zarr_format=2)
    array = group.create_array("0", shape=(side, side), chunks=(FIELD, FIELD), dtype=np.uint16)
    for y in range(0, side, FIELD):
        for x in range(0, side, FIELD):
            piece = np.rot90(fields[rng.integers(FIELDS)], rng.integers(4))[: side - y, : side - x]
            array[y : y + FIELD, x : x + FIELD] = piece[:, :: rng.choice((-1, 1))]
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    scale = [{"type": "scale", "scale": [LOOK["pixel_size"]] * 2}]
    levels = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": levels}]
    return path


def learned(folder: Path) -> Path:
    """A bundle that knows such cells about."""
    made = simulate(folder / "fields", kind="fields", cells=250, groups=4, wells=1, field=256, **LOOK)
    rows = Manifest.read(made.folder, truth="mask")
    plan = planned(Facts.of(rows), find_task("instances"), tile=128, steps=STEPS, validations=1, average=0.8, rate=0.01,
                   settings={"smallest": 30.0})  # fmt: skip
    train(rows, "instances", into=folder / "run", plan=plan)
    return folder / "run" / "bundle"


def timed(spent: Counter[str], holder: Any, name: str, what: str) -> None:
    """Count the seconds that a function takes under `what`."""
    real: Callable[..., Any] = getattr(holder, name)

    def call(*given: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return real(*given, **named)
        finally:
            spent[what] += time.perf_counter() - started  # type: ignore[assignment]

    setattr(holder, name, staticmethod(call) if isinstance(real, type(Labels.join)) else call)


def resident() -> float:
    """GiB of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**30


def child(model: str, slide: Path, into: Path, precision: str) -> dict[str, Any]:
    """Predict the slide in this process and tell what it took."""
    bundle, rows, spent = Bundle.load(model), Manifest.read(slide), Counter[str]()
    answer = bundle.task.answer
    for holder, name, what in (
        (view.View, "crop", "reading"), (Engine, "__call__", "network"), (type(bundle.task), "decode", "decoding"),
        (answer, "cells", "writing"), (answer, "join", "writing"),
    ):  # fmt: skip
        timed(spent, holder, name, what)
    before, started, worked = resident(), time.perf_counter(), time.process_time()
    found = predict(rows, bundle, into=into, precision=precision)
    seconds, worked = time.perf_counter() - started, time.process_time() - worked
    row = found.table.iloc[0]
    if isinstance(row["prediction.error"], str):
        raise RuntimeError(row["prediction.error"])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    return {
        "seconds": seconds, "worked": worked, "peak_gib": most - before, "objects": int(row["prediction.count"]),
        "cut": int(row.get("prediction.cut", 0)), "engine": found.origin["prediction.engine"],
        "halo": bundle.card.plan.halo, **{f"share_{what}": spent[what] / seconds for what in sorted(spent)},
    }  # fmt: skip


def measured(model: str, slide: Path, into: Path, precision: str) -> dict[str, Any]:
    """The same in a process of its own, whose memory holds nothing else."""
    call = [sys.executable, __file__, "--child", model, str(slide), str(into), "--precision", precision]
    ran = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def whole(model: str, folder: Path, side: int, precision: str) -> dict[str, Any]:
    found = measured(model, written(folder, side), folder / "out", precision)
    seconds, worked = found.pop("seconds"), found.pop("worked")
    return {"name": f"slide, {side} px", "source": "potency", "role": "target", "height": side, "width": side,
            "s_per_mpix": seconds * 1e6 / side**2, "cpu_s_per_mpix": worked * 1e6 / side**2, **found}  # fmt: skip


def twice(model: str, folder: Path, precision: str) -> dict[str, Any]:
    """How far the answers to a part of a slide agree that come from tiles of two sizes."""
    bundle, answers = Bundle.load(model), []
    (folder / "part").mkdir()
    rows, usual = Manifest.read(written(folder / "part", PART, seed=2)), view.HALOS
    for halos in (usual, 3 * usual // 4):
        view.HALOS = halos
        row = predict(rows, bundle, into=folder / f"halos{halos}", precision=precision).table.iloc[0]
        cells = {"": row["prediction"], "objects": row["prediction.objects"]}
        answers.append(Labels.of_cells(cells, rows.folder))
    view.HALOS = usual
    figures = Labels.summarise(answers[1].compare(answers[0]), np.ones((1, 1)))
    return {"name": f"tiles of two sizes, {PART} px", "source": "potency", "role": "other", "height": PART,
            "width": PART, "objects": answers[0].count, "f1": float(figures["f1.50"][0])}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"a slide of {QUICK} px, not {SIDE}")
    parser.add_argument("--json", action="store_true", help="end with the rows as one line of JSON")
    parser.add_argument("--model", default="", help="a bundle of instances, or example:NAME; else one learns here")
    parser.add_argument("--side", type=int, default=0, help="px a side of the slide")
    parser.add_argument("--precision", default="auto", help="of the engine, as in potency predict")
    parser.add_argument("--child", nargs=3, metavar=("MODEL", "SLIDE", "INTO"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        model, slide, into = chosen.child
        print(json.dumps(child(model, Path(slide), Path(into), chosen.precision)))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if chosen.model:
            Bundle.load(chosen.model)  # refused now, not once a slide is drawn
        model = chosen.model or str(learned(folder))
        rows = [whole(model, folder, chosen.side or (QUICK if chosen.quick else SIDE), chosen.precision)]
        rows.append(twice(model, folder, chosen.precision))
    tell(rows, chosen.json)


if __name__ == "__main__":
    main()
