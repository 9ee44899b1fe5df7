"""`nuclei` beside every peer that is installed and has its weights, on the same test images, by the same figures.

`python benchmarks/peers.py [--quick] [--json] [--images fluorescence|stained]`. Cellpose, StarDist and InstanSeg fetch
their own weights; one that cannot is left out, and the reason is said on stderr. Otsu's threshold with a watershed of
the distance needs none: what no model must be worse than. Each runs with its own defaults; its seconds hold reading
no file and loading no weights.
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
from typing import Any

import numpy as np
from numpy.typing import NDArray
from side_by_side import tell

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recipes"))
from models import MODELS

from potency.answers import Evidence, Labels
from potency.bundle import Bundle
from potency.data.manifest import Manifest
from potency.data.tiles import exposure
from potency.inference.engine import accelerate

Peer = Callable[[NDArray[Any]], NDArray[Any]]  # an image (Y, X) or (Y, X, 3) to labels


def potency() -> Peer:
    bundle = accelerate(Bundle.load("nuclei"))

    def run(image: NDArray[Any]) -> NDArray[Any]:
        grey = image if image.ndim == 2 else image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        (answer,) = bundle([{"image": grey[None], "exposure": exposure(grey[None])}])
        assert isinstance(answer, Labels)
        return answer.instances

    return run


def otsu() -> Peer:
    from scipy import ndimage
    from skimage.feature import peak_local_max
    from skimage.filters import gaussian, threshold_otsu
    from skimage.segmentation import watershed

    def run(image: NDArray[Any]) -> NDArray[Any]:
        grey = image.astype(float) if image.ndim == 2 else -image.astype(float).mean(-1)  # stained nuclei are dark
        smooth = gaussian(grey, 1)
        inside = smooth > threshold_otsu(smooth)
        deep = ndimage.gaussian_filter(ndimage.distance_transform_edt(inside), 1)
        markers = np.zeros(grey.shape, np.int32)
        for number, (y, x) in enumerate(peak_local_max(deep, min_distance=5, labels=inside.astype(int)), 1):
            markers[y, x] = number
        return np.asarray(watershed(-deep, markers, mask=inside))

    return run


def cellpose() -> Peer:
    from cellpose import models

    model = models.CellposeModel(gpu=False)
    return lambda image: np.asarray(model.eval(image)[0])


def stardist() -> Peer:
    from csbdeep.utils import normalize
    from stardist.models import StarDist2D

    grey = StarDist2D.from_pretrained("2D_versatile_fluo")
    colour = StarDist2D.from_pretrained("2D_versatile_he")

    def run(image: NDArray[Any]) -> NDArray[Any]:
        model = grey if image.ndim == 2 else colour
        return np.asarray(model.predict_instances(normalize(image, 1, 99.8, axis=(0, 1)))[0])

    return run


def instanseg() -> Peer:
    from instanseg import InstanSeg

    grey, colour = InstanSeg("fluorescence_nuclei_and_cells"), InstanSeg("brightfield_nuclei")

    def run(image: NDArray[Any]) -> NDArray[Any]:
        labels, _ = (grey if image.ndim == 2 else colour).eval_small_image(image, None)
        return np.asarray(labels)[0, 0].astype(np.int64)  # nuclei come first

    return run


PEERS: Mapping[str, Callable[[], Peer]] = {
    "potency nuclei": potency, "Otsu and watershed": otsu, "Cellpose": cellpose, "StarDist": stardist,
    "InstanSeg": instanseg,
}  # fmt: skip


def judged(run: Peer, rows: Manifest) -> dict[str, Any]:
    """The figures of one peer on the rows, and its seconds an image."""
    pieces, seconds = [], 0.0
    for row in rows.records():
        pixels = rows.open(row).crop()
        image = pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)
        truth = Labels.of_cells({"": row["truth"]}, rows.folder)
        start = time.perf_counter()
        said = run(image)
        seconds += time.perf_counter() - start
        pieces.append(Labels.of(said.astype(np.uint32)).compare(truth))
    evidence = Evidence.stack(pieces)
    figures = Labels.summarise(evidence, np.ones((1, evidence.samples)))
    wanted = {"ap50": "dsb_ap.50", "map": "dsb_ap", "f1": "f1.50", "pq": "pq", "aji": "aji"}
    return {**{name: float(figures[metric][0]) for name, metric in wanted.items()}, "images": len(rows),
            "ms_an_image": 1e3 * seconds / len(rows)}  # fmt: skip


def rows(kinds: list[str], quick: bool) -> list[dict[str, Any]]:
    every, made = MODELS["nuclei"].rows().of("test"), []
    for name, load in PEERS.items():
        try:
            run = load()
        except Exception as error:  # a peer may fail in any way when it is not there or cannot fetch its weights
            print(f"{name} is left out: {type(error).__name__}: {str(error).splitlines()[:1]}", file=sys.stderr)
            continue
        for kind in kinds:
            some = every.where(lambda table, kind=kind: table["stratum"].eq(kind))
            some = replace(some, table=some.table.iloc[::10]) if quick else some
            run(np.zeros((256, 256) if kind == "fluorescence" else (256, 256, 3), np.uint8))  # the first call compiles
            role = "target" if name.startswith("potency") else "other"
            made.append({"name": kind, "source": name, "role": role, **judged(run, some)})
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", choices=("fluorescence", "stained"), help="one kind only")
    parser.add_argument("--quick", action="store_true", help="every tenth image")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    kinds = [chosen.images] if chosen.images else ["fluorescence", "stained"]
    tell(rows(kinds, chosen.quick), chosen.json)


if __name__ == "__main__":
    main()
