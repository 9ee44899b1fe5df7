"""Few labels on a real set: what pre-training without labels gains, and what choosing the labels gains over chance.

`python benchmarks/few_labels.py [--into out/few-labels] [--quick] [--json]` needs POTENCY_DATA (the folder of real
images). On single cells in brightfield, four phases of the cell cycle: one fold of the groups is held out; the tiny
network is pre-trained by SimCLR on the images of the others; then it is probed and fine-tuned on 1, 5, 10 and 100 % of
their labels beside the same network from scratch and a probe of random weights. Then labels are chosen by entropy,
margin, BALD and core-set beside random choice, on its embeddings. The budget is short on purpose: minutes of a core.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
import time
from pathlib import Path
from typing import Any

from potency.bundle import Bundle
from potency.data.manifest import Manifest
from potency.labelling.curve import Choices, Start
from potency.labelling.page import labels, write_rehearsal, write_study
from potency.labelling.rehearse import Setting, rehearse
from potency.labelling.study import study
from potency.learning.unlabelled import embedded
from potency.tasks import find_task

SET, CLASSES = "jurkat_ifc_cellcycle", ("G1", "S_phase", "G2", "Prophase")
TOLD = ("value", "low", "high", "gain", "gain_low", "gain_high")


def run(into: Path, quick: bool) -> list[dict[str, Any]]:
    rows = Manifest.read(Path(os.environ["POTENCY_DATA"]) / "classify" / SET, classes=CLASSES)
    start = time.monotonic()
    encoder = Start("simclr", pretrain=20 if quick else 600, plan={"batch": 64, "validations": 4})
    choices = Choices(
        (0.05, 1.0) if quick else (0.01, 0.05, 0.1, 1.0), draws=1 if quick else 2, steps=5 if quick else 60,
        holdout=True,
    )  # fmt: skip
    found = study(rows, find_task("classify"), [encoder], into=into, choices=choices)
    write_study(found, into)
    size = f"{found.tested} test images, {found.groups} groups"
    made = [
        {"name": f"{row['method']}, {100 * row['fraction']:g} % of labels", "source": "potency",
         "role": "target" if "simclr" in row["method"] else "baseline", "size": size, "labels": row["labels"],
         **{key: row[key] for key in TOLD if row[key] == row[key]}}
        for row in found.table.to_dict("records")
    ]  # fmt: skip
    bundle = Bundle.load(into / "encoders" / "simclr-0" / "bundle")
    last = bundle.card.validation["log"][-1]
    watched = {key: value for key, value in last.items() if key.startswith("watch_")}
    shared = {"source": "potency", "role": "target"}
    made.append({"name": "pre-training", **shared, "size": f"{last['step']} steps", **watched})
    made.append({"name": "study time", **shared, "size": size, "seconds": time.monotonic() - start})
    return made + chosen(rows, bundle, into, quick)


def chosen(rows: Manifest, bundle: Bundle, into: Path, quick: bool) -> list[dict[str, Any]]:
    """Active learning on the embeddings, on the fold that the encoder has not seen."""
    start, rows = time.monotonic(), rows.split()
    test = rows.table["fold"].eq(0).to_numpy()
    setting = Setting(rounds=2, seeds=1) if quick else Setting(start=20, each=60, rounds=10, seeds=5)
    values = embedded(rows, bundle).to_numpy()
    truth, groups = rows.table["truth"].tolist(), rows.table["group"].tolist()
    found = rehearse(values, truth, groups, test, setting)
    write_rehearsal(found, into)
    size = f"{found.pool} images to choose from, {found.tested} test images, {found.groups} groups"
    made = [
        {"name": f"labels until {found.target:.3f}, {how}", "source": "potency",
         "role": "baseline" if how == "random" else "target", "size": size, "labels until target": labels(needed),
         "saved": labels(found.saved[how]) if how in found.saved else ""}
        for how, needed in found.needed.items()
    ]  # fmt: skip
    took = {"seconds": time.monotonic() - start, "all labels": str(found.ceiling)}
    return [*made, {"name": "rehearsal time", "source": "potency", "role": "target", "size": size, **took}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=Path("out/few-labels"))
    parser.add_argument("--quick", action="store_true", help="a few steps: does it run, not what it gains")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    if "POTENCY_DATA" not in os.environ:
        print(json.dumps([]) if options.json else "POTENCY_DATA names no folder of real images: nothing to run")
        return
    made = run(options.into / "quick" if options.quick else options.into, options.quick)
    print(json.dumps(made) if options.json else "\n".join(map(str, made)))


if __name__ == "__main__":
    main()
