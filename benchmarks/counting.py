"""Counting and detection by the published protocols: errors of counts over draws, mAP of boxes, seconds.

`python benchmarks/counting.py [--into out/counting] [--sets vgg,bccd] [--draws 5] [--steps N] [--json] [--quick]` needs
POTENCY_DATA. On `count/vgg_cells` the published protocol: 50 images drawn from the first 100 to learn from, the last
100 tested, the mean absolute error and its spread over the draws (Lempitsky 2010; Xie 2018). On `count/bccd` the set's
own split. Ways that learn from the number alone stand beside these in `potency reproduce xresnet-count`, on the same
draws. Whatever is finished in `--into` is kept, and a stopped call goes on. `--quick` takes two steps and a few
images of each set (simulated ones where there is no real set): does it run, not how good it is.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Iterator, Mapping  # noqa: E402
from dataclasses import replace  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from side_by_side import tell  # noqa: E402

from potency.answers import Density  # noqa: E402
from potency.bundle import Bundle  # noqa: E402
from potency.data.manifest import Manifest  # noqa: E402
from potency.data.plan import Facts  # noqa: E402
from potency.evaluation import evaluate  # noqa: E402
from potency.inference.predict import predict  # noqa: E402
from potency.learning.planning import planned  # noqa: E402
from potency.learning.train import train  # noqa: E402
from potency.simulate import simulate  # noqa: E402
from potency.systems.counted import DRAWN, drawn  # noqa: E402
from potency.tasks import find_task  # noqa: E402

# Simulated images differ in nothing but where their cells are: zoom and light would only teach what is not asked.
CROPS = {
    "tile": 128, "augment": {"flip": 1.0, "turn": 1.0}, "batch": 8, "precision": "bfloat16", "validations": 1
}  # fmt: skip
# Densities are learned from whole images: what a network says at the edges of crops it makes up for inside, where whole
# images then lack it (1 % fewer objects).
WHOLE = {**CROPS, "tile": 256, "batch": 4}
# What learns to count, by name: its task, the decisions of its plan, how many draws it is worth where time is short.
ARMS: Mapping[str, tuple[str, Mapping[str, Any], int]] = {
    "density": ("count", {**WHOLE, "network": "unet:shrink=2", "steps": 2500}, 5),
    "centres": ("detect", {**CROPS, "network": "unet:shrink=2", "steps": 600}, 2),
}
BOXES: Mapping[str, Any] = {
    "network": "unet:depth=4:shrink=4", "tile": [448, 640], "batch": 4, "steps": 6000, "validations": 6,
    "precision": "bfloat16",
}  # fmt: skip


def cells(folder: Path | None, draw: int, quick: bool) -> tuple[Manifest, Manifest]:
    """The images learned from and tested of a draw; `count` is how many objects each holds."""
    if folder is None:
        raise LookupError("there is no real set")
    rows = drawn(Manifest.read(folder), draw, 4 if quick else DRAWN)
    known, tested = rows.of("train"), rows.of("test")
    return known, tested.where(np.arange(len(tested)) < (5 if quick else len(tested)))


def simulated(into: Path) -> tuple[Manifest, Manifest]:
    """A few simulated fields with the points of their cells, for `--quick` without real images."""
    folder = into / "simulated"
    made = simulate(folder, kind="fields", cells=48, groups=2, wells=2, field=128) if not folder.is_dir() else None
    rows = made or Manifest.read(folder)
    rows = Manifest.read(rows.folder, truth="mask")
    each = [Density.of_cells({"": path}, rows.folder).count for path in rows.table["truth"]]
    rows = replace(rows, table=rows.table.assign(count=each))
    first = np.arange(len(rows)) < len(rows) // 2
    return rows.where(first), rows.where(~first)


def learned(rows: Manifest, task: str, changes: Mapping[str, Any], into: Path) -> tuple[Bundle, float | None]:
    """A bundle trained on all rows, and the seconds that took; what is there already is loaded."""
    if (into / "bundle" / "card.json").is_file():
        kept = into / "seconds.json"
        return Bundle.load(into / "bundle"), json.loads(kept.read_text()) if kept.is_file() else None
    found, start = find_task(task), time.monotonic()
    into.mkdir(parents=True, exist_ok=True)
    fresh = not (into / "state.safetensors").is_file()
    if "split" not in rows.table:
        rows = rows.add({"split": ["train"] * len(rows)})
    plan = planned(Facts.of(rows.of("train")), found, **changes)

    def say(done: int, total: int) -> None:
        if done % 100 == 0:
            print(f"{into.name}: {done} of {total}, {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)

    bundle = train(rows, found, into=into, plan=plan, progress=say)
    seconds = time.monotonic() - start if fresh else None
    (into / "seconds.json").write_text(json.dumps(seconds))
    return bundle, seconds


def counts(rows: Manifest, bundle: Bundle, into: Path) -> tuple[np.ndarray[Any, Any], float]:
    """The number of objects that a bundle says of every row, and the milliseconds an image took, reading included."""
    predict(rows.where(np.arange(len(rows)) < 1), bundle, into=into / "first")  # engines start
    start = time.monotonic()
    told = predict(rows, bundle, into=into / "told").table
    each = 1e3 * (time.monotonic() - start) / len(rows)
    column = "prediction.count" if "prediction.count" in told else "prediction"
    return told[column].to_numpy(float), each


def on_cells(folder: Path | None, into: Path, chosen: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row an arm: errors over the draws, and how long an image takes."""
    for name, (task, changes, most) in ARMS.items():
        if not name.startswith(tuple(chosen.arms.split(","))):
            continue
        errors, shares, took, seconds = [], [], [], []
        for draw in range(1 if chosen.quick else min(chosen.draws, most)):
            known, tested = cells(folder, draw, chosen.quick) if folder else simulated(into)
            own = {**changes, "seed": draw} | ({"steps": 2} if chosen.quick and "steps" in changes else {})
            own |= {"steps": chosen.steps} if chosen.steps and "steps" in changes else {}
            place = into / name.replace(", ", "-").replace(" ", "-") / f"draw{draw}"
            bundle, spent = learned(known, task, own, place)
            with tempfile.TemporaryDirectory() as scratch:
                said, each = counts(tested, bundle, Path(scratch))
            true = tested.table["count"].to_numpy(float)
            errors.append(float(np.abs(said - true).mean()))
            shares.append(float((np.abs(said - true) / true).mean()))
            took.append(each)
            seconds += [spent] if spent is not None else []
        target = name == "density"
        yield {
            "name": f"vgg_cells, {name}" if folder else f"simulated, {name}", "source": "potency",
            "role": "target" if target else "other", "images": len(tested), "learned_from": len(known),
            "draws": len(errors), "mae": float(np.mean(errors)),
            "mae_spread": float(np.std(errors, ddof=1)) if len(errors) > 1 else 0.0, "mape": float(np.mean(shares)),
            "ms_an_image": float(np.median(took)), "training_s": float(np.mean(seconds)) if seconds else 0.0,
        }  # fmt: skip


def on_blood(folder: Path, into: Path, chosen: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """mAP at an IoU of .5 and errors of the counts on the set's own test split."""
    rows = Manifest.read(folder / "boxes.csv")
    if chosen.quick:
        rows = rows.where(rows.table.groupby("split").cumcount() < 4)
    changes = {**BOXES, **({"steps": 2, "validations": 1} if chosen.quick else {})}
    changes |= {"steps": chosen.steps} if chosen.steps else {}
    bundle, seconds = learned(rows, "detect", changes, into / "bccd")
    tested = rows.of("test")
    with tempfile.TemporaryDirectory() as scratch:
        _, each = counts(tested, bundle, Path(scratch))
        told = predict(tested, bundle, into=Path(scratch) / "told")
        figures = evaluate(told, draws=0).numbers["prediction"]
    classes = {f"ap_{n}": v for n, v in per_class(told, figures).items()}
    yield {
        "name": "bccd, centres and sizes", "source": "potency", "role": "target", "images": len(tested),
        "learned_from": len(rows.of("train")), "map50": figures["coco_ap.50"].value, "map": figures["coco_ap"].value,
        **classes, "f1": figures["f1"].value, "ms_an_image": each, "training_s": seconds or 0.0,
    }  # fmt: skip


def per_class(told: Manifest, figures: Mapping[str, Any]) -> dict[str, float]:
    """AP over all thresholds of each class, as the report has it."""
    return {name.partition(".")[2]: one.value for name, one in figures.items()
            if name.startswith("coco_ap.") and not name.partition(".")[2].isdecimal()}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, help="folder of the models; by default one that is forgotten")
    parser.add_argument("--sets", default="vgg,bccd")
    parser.add_argument("--arms", default="", help="beginnings of the names of the arms; by default all")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--steps", type=int, default=0, help="steps of every network; 0: what each is worth")
    parser.add_argument("--quick", action="store_true", help="two steps, a few images")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    data = Path(os.environ["POTENCY_DATA"]) / "count" if os.environ.get("POTENCY_DATA") else None
    if data is None and not chosen.quick:
        print("POTENCY_DATA names no folder of real images: only --quick can run", file=sys.stderr)
    with tempfile.TemporaryDirectory() as scratch:
        into = (chosen.into or Path(scratch)) / ("quick" if chosen.quick else "")
        rows: list[dict[str, Any]] = []
        if "vgg" in chosen.sets and (data or chosen.quick):
            rows += on_cells(data / "vgg_cells" if data else None, into, chosen)
        if "bccd" in chosen.sets and data:
            rows += on_blood(data / "bccd", into, chosen)
        tell(rows, chosen.json)


if __name__ == "__main__":
    main()
