"""The models that ship, on images they never saw: fluorescence, stained tissue, phase contrast; spoilt images; speed.

`python benchmarks/nuclei.py [--quick] [--json]`. The rows are those that recipes/models.py keeps for the test: of the
Data Science Bowl its own test rows (OPTIMISTIC: fields of one slide may stand on both sides), of the stained images
every third mosaic, of Usiigaci the authors' five images. Robustness: fluorescence images spoilt on their own scale
(0.2nd to 99.8th percentile). Speed: one large field of test images side by side through `predict`, engine warm; as most
nuclei there are small, it is seen at twice its size, and a second row tells what one of larger nuclei costs.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from side_by_side import tell

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recipes"))
from models import MODELS

from potency.bundle import Bundle
from potency.bundle.shipped import shipped
from potency.data.manifest import Manifest
from potency.data.tiles import exposure
from potency.evaluation.evaluate import evaluate
from potency.inference.closer import shows_small
from potency.inference.predict import predict
from potency.inference.view import View

Plane = NDArray[np.float32]
SIDE = 4096  # px of the field that is timed
FLOPS = 1024  # side of the matrices by which the machine's rate is measured


def gaussian(image: Plane, rng: np.random.Generator) -> Plane:
    return image + rng.normal(0, 0.1, image.shape).astype(np.float32)


def poisson(image: Plane, rng: np.random.Generator) -> Plane:
    return rng.poisson(np.clip(image, 0, None) * 30).astype(np.float32) / 30


def blurred(image: Plane, rng: np.random.Generator) -> Plane:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 2.0), np.float32)


def coarser(image: Plane, rng: np.random.Generator) -> Plane:
    """Half the pixels along each side, brought back to the old size: what was lost stays lost."""
    size = image.shape[1], image.shape[0]
    small = cv2.resize(image, (size[0] // 2, size[1] // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR), np.float32)


def negative(image: Plane, rng: np.random.Generator) -> Plane:
    return 1 - image


SPOILT: Mapping[str, tuple[str, Callable[[Plane, np.random.Generator], Plane]]] = {
    "gaussian": ("noise of .1 of the scale", gaussian), "poisson": ("30 photons at white", poisson),
    "blur": ("sigma 2 px", blurred), "downsample": ("half the pixels a side, brought back", coarser),
    "invert": ("the negative", negative),
}  # fmt: skip


def measured(rows: Manifest, model: Bundle, into: Path) -> dict[str, Any]:
    """What a model makes of rows with truth, judged by what a user calls."""
    figures = evaluate(predict(rows, model, into=into), draws=0).numbers["prediction"]
    wanted = {"ap50": "dsb_ap.50", "ap50_pooled": "dsb_ap_pooled.50", "map": "dsb_ap", "map_pooled": "dsb_ap_pooled",
              "f1": "f1.50", "pq": "pq", "aji": "aji"}  # fmt: skip
    found = {name: float(figures[metric].value) for name, metric in wanted.items()}
    return {**found, "images": len(rows), "objects": int(sum(table_counts(rows)))}


def table_counts(rows: Manifest) -> list[int]:
    return [int(tifffile.imread(rows.folder / cell).max()) if str(cell).endswith(".tif")
            else int(cv2.imread(str(rows.folder / cell), cv2.IMREAD_UNCHANGED).max())
            for cell in rows.table["truth"]]  # fmt: skip


def spoilt(rows: Manifest, how: Callable[[Plane, np.random.Generator], Plane], into: Path) -> Manifest:
    """The rows with their images spoilt, written to `into`."""
    rng, table = np.random.default_rng(0), rows.table.copy()
    for at, row in enumerate(rows.records()):
        pixels = rows.open(row).crop()
        low, high = exposure(pixels)[0]
        made = how(((pixels[0].astype(np.float32) - low) / (high - low)).astype(np.float32), rng)
        tifffile.imwrite(into / f"{at}.tif", np.clip(made * 40000 + 10000, 0, 65535).astype(np.uint16))
        table.loc[table.index[at], "image"] = str(into / f"{at}.tif")
    table["truth"] = [str(rows.folder / cell) for cell in table["truth"]]
    return Manifest.of_rows(table, into, kinds=rows.kinds)


def rate() -> float:
    """What the machine does in products of bfloat16 matrices with all its threads, in 10^9 operations a second."""
    a = torch.randn(FLOPS, FLOPS).bfloat16()
    best = np.inf
    for _ in range(10):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return float(2 * FLOPS**3 / best / 1e9)


def work(model: Bundle) -> float:
    """Operations of the network a pixel."""
    from torch.utils.flop_counter import FlopCounterMode

    net = next(iter(model.members[0].nets.values()))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 1, 256, 256))
    return float(counter.get_total_flops() / 256**2)


def speed(rows: Manifest, model: Bundle, side: int, place: Path, times: int = 1) -> dict[str, Any]:
    """Seconds a megapixel of `predict` on one field of `side` px a side, made of test images side by side, each
    enlarged so many times."""
    size, shelf, top = 256, np.zeros((side, side), np.uint8), 0
    images = [rows.open(row).crop()[0] for row in rows.records()]
    larger = (cv2.resize(each, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
              for each in images if times * min(each.shape) >= size and each.dtype == np.uint8)  # fmt: skip
    images = [np.asarray(each, np.uint8)[:size, :size] for each in larger]
    for k, top in enumerate(range(0, side, size)):
        for j, left in enumerate(range(0, side, size)):
            shelf[top : top + size, left : left + size] = images[(k * (side // size) + j) % len(images)]
    name = f"field{times}.tif"
    tifffile.imwrite(place / name, shelf, tile=(256, 256), compression="zlib")
    field = Manifest.of_rows(rows.table.iloc[:1].assign(image=name).drop(columns="truth"), place)
    first = replace(rows, table=rows.table.iloc[:1])
    predict(first, model, into=place / "warm")
    start = time.perf_counter()
    told = predict(field, model, into=place / f"out{times}")
    seconds = time.perf_counter() - start
    per = seconds / (side * side / 1e6)
    limit, plan = rate(), model.card.plans[0]
    closer = bool(model.closer) and shows_small(model, View.of(field, next(iter(field.records())), plan), plan)
    needed = work(model) * (4 if closer else 1)  # what tiles see twice is not needed
    return {
        "height": side, "width": side, "s_per_mpix": per, "objects": int(told.table["prediction.count"].iloc[0]),
        "at_twice_the_size": closer, "fraction_of_limit": needed / 1e3 / per / limit, "machine_gflops": limit,
    }  # fmt: skip


def rows(nuclei: str, phase: str, quick: bool) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    every = MODELS["nuclei"].rows().of("test")
    model = Bundle.load(nuclei)
    of = {kind: every.where(lambda table, kind=kind: table["stratum"].eq(kind)) for kind in ("fluorescence", "stained")}
    if quick:
        of = {kind: replace(some, table=some.table.iloc[::10]) for kind, some in of.items()}
    with TemporaryDirectory() as name:
        place = Path(name)

        def add(name: str, some: Manifest, by: Bundle, source: str, **more: Any) -> None:
            made.append({"name": name, "source": f"potency {source}", "role": "target", **more,
                         **measured(some, by, place / name.replace(":", "-"))})  # fmt: skip

        for kind, some in of.items():
            add(kind, some, model, nuclei)
        for kind, (how, spoil) in SPOILT.items():
            (place / f"images-{kind}").mkdir()
            add(f"robust:{kind}", spoilt(of["fluorescence"], spoil, place / f"images-{kind}"), model, nuclei, how=how)
        if phase in shipped("") or Path(phase).exists():
            add("phase", MODELS["cells-phase"].rows().of("test"), Bundle.load(phase), phase)
        else:
            print(f"{phase} does not ship yet: no row of phase contrast", file=sys.stderr)
        for times, called in ((1, "speed"), (2, "speed, the images enlarged twice: nuclei of 20 px and more")):
            made.append({"name": called, "source": f"potency {nuclei}", "role": "target" if times == 1 else "other",
                         **speed(of["fluorescence"], model, SIDE // 2 if quick else SIDE, place, times)})  # fmt: skip
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nuclei", default="nuclei", help="a bundle, else the one that ships")
    parser.add_argument("--phase", default="cells-phase", help="a bundle, else the one that ships")
    parser.add_argument("--quick", action="store_true", help="every tenth image, a smaller field")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    tell(rows(chosen.nuclei, chosen.phase, chosen.quick), chosen.json)


if __name__ == "__main__":
    main()
