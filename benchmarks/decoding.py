"""From the maps of a perfect network to instances and back, ours beside Cellpose and StarDist in the same process.

`python benchmarks/decoding.py [--json] [--quick]`, one thread. Rows of the peers appear where these are installed
(extra `bench`); InstanSeg is not among them, since its way needs the weights of its network. Each row decodes what its
own encoder made of the same label image: `ms_per_mpix` is decoding, in one piece; `targets_ms_per_mpix` is encoding, of
a crop of 512 pixels as training takes it, in turns. Then masks of simulated cells and, with POTENCY_DATA, real ones
(test splits), with maps as they are and spoiled by blur and noise; there an object is a connected piece that is five
pixels wide somewhere, in truth and answer, for what is narrower is mostly a slip of an annotator's pen.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse  # noqa: E402
import contextlib  # noqa: E402
import io  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from importlib.util import find_spec  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import tifffile  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from scipy.ndimage import gaussian_filter  # noqa: E402
from scipy.sparse import coo_array  # noqa: E402
from scipy.sparse.csgraph import connected_components  # noqa: E402
from scipy.spatial import KDTree  # noqa: E402
from side_by_side import interleaved, tell  # noqa: E402

from potency.decoding import DECODERS  # noqa: E402
from potency.decoding.census import compact  # noqa: E402
from potency.decoding.depth import depth  # noqa: E402
from potency.simulate import World  # noqa: E402
from potency.simulate.survey import visits  # noqa: E402
from potency.simulate.world import wells_of  # noqa: E402

Labels = NDArray[np.integer[Any]]
DEFAULT = next(iter(DECODERS))
MPIX = 1e6
SPOILED = ((0, 0.0), (1, 0.1), (2, 0.0))  # blur of maps (px) and noise upon them


def crowd(cells: int, side: int) -> Labels:
    """Cells of different size that mostly touch: discs around jittered places, cut where they meet."""
    rng, each = np.random.default_rng(0), round(cells**0.5)
    apart = side / each
    places = (np.mgrid[:each, :each].reshape(2, -1).T + 0.5 + rng.uniform(-0.3, 0.3, (each**2, 2))) * apart
    far, whose = KDTree(places).query(np.mgrid[:side, :side].reshape(2, -1).T)
    radius = rng.uniform(0.35, 0.62, each**2)[whose] * apart
    return np.where(far < radius, whose + 1, 0).reshape(side, side).astype(np.int32)


def agreement(truth: Labels, said: Labels) -> dict[str, float]:
    """F1 at IoU above .5 and the mean IoU of the pairs."""
    step = int(said.max()) + 1
    keys, shared = np.unique(truth.astype(np.int64) * step + said, return_counts=True)
    left, right = keys // step, keys % step
    union = np.bincount(truth.ravel())[left] + np.bincount(said.ravel())[right] - shared
    iou = (shared / union)[(left > 0) & (right > 0)]
    iou = iou[iou > 0.5]
    objects = np.count_nonzero(np.bincount(truth.ravel())[1:]) + np.count_nonzero(np.bincount(said.ravel())[1:])
    return {"f1": 2 * len(iou) / objects, "iou": float(iou.mean())}


def row(name: str, source: str, role: str, truth: Labels, **figures: float) -> dict[str, Any]:
    cells, (height, width) = int(truth.max()), truth.shape
    return {"name": f"{name}, {cells} cells, {height} px", "source": source, "role": role, "decoder": name,
            "cells": cells, "height": height, "width": width, **figures}  # fmt: skip


def ours(truth: Labels, names: list[str], repeats: int, role: str) -> Iterator[dict[str, Any]]:
    maps = {name: DECODERS[name].encode(truth) for name in names}
    taken = interleaved({name: lambda n=name: DECODERS[n].decode(maps[n]) for name in names}, repeats)
    for name in names:
        labels = DECODERS[name].decode(maps[name]).labels
        yield row(name, "potency", role if name == DEFAULT else "other", truth,
                  ms_per_mpix=1e3 * taken[name] * MPIX / truth.size, **agreement(truth, labels))  # fmt: skip


def once(work: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives and the seconds it takes; peers print and warn, that is kept away."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        started = time.perf_counter()
        return work(), time.perf_counter() - started


def pieces(labels: Labels) -> Labels:
    """Objects of a label image in connected pieces (of 8 neighbours), each a number of its own."""
    places = np.arange(labels.size).reshape(labels.shape)
    pairs = [(np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1]), (np.s_[1:, 1:], np.s_[:-1, :-1]),
             (np.s_[1:, :-1], np.s_[:-1, 1:])]  # fmt: skip
    joined = [(places[a][labels[a] == labels[b]], places[b][labels[a] == labels[b]]) for a, b in pairs]
    ends = np.concatenate([one for one, _ in joined]), np.concatenate([other for _, other in joined])
    graph = coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(labels.size, labels.size))
    number = connected_components(graph, directed=False)[1].reshape(labels.shape) + 1
    return compact(np.where(labels > 0, number, 0))[0]


def wide(labels: Labels) -> NDArray[np.bool_]:
    """Which objects are five pixels wide somewhere, by number."""
    deepest = np.zeros(int(labels.max()) + 1, np.float32)
    np.maximum.at(deepest, labels.ravel(), depth(labels.astype(np.int32)).ravel())
    return deepest >= 3


def found(truth: Labels, said: Labels) -> tuple[int, int, int, float]:
    """Of the wide objects: those found, missed and spurious, and the sum of the IoU of those found."""
    step = int(said.max()) + 1
    keys, shared = np.unique(truth.astype(np.int64) * step + said, return_counts=True)
    left, right = keys // step, keys % step
    union = np.bincount(truth.ravel())[left] + np.bincount(said.ravel())[right] - shared
    iou = np.where((left > 0) & (right > 0), shared / union, 0)
    hits, big, more = iou > 0.5, wide(truth), wide(said)
    more[right[hits]] = False
    judged = hits & big[left]
    return int(judged.sum()), int(big.sum() - judged.sum()), int(more.sum()), float(iou[judged].sum())


def simulated() -> list[Labels]:
    """The masks of three simulated fields, sparse to crowded, with neurites that cross other cells."""
    worlds = [World(look="phase", cells=n, groups=1, wells=1, seed=seed) for seed, n in enumerate((60, 120, 220))]
    return [next(visits(world, wells_of(world))).field.labels for world in worlds]


def real(folder: Path, limit: int) -> list[Labels]:
    files = sorted((folder / "test" / "labels").glob("*.tif"))
    return [tifffile.imread(path) for path in files[:: max(1, len(files) // limit)]]


def returned(whose: str, masks: list[Labels]) -> Iterator[dict[str, Any]]:
    """Masks through each decoder: maps as they are, blurred, noisy (0.1, or a pixel where they are pixels)."""
    masks = [pieces(mask) for mask in masks]
    for name, decoder in DECODERS.items():
        unit = np.array([10.0 if c.name[:2] in ("to", "sp", "ra") else 1.0 for c in decoder.channels])[:, None, None]
        chance, sums = [np.random.default_rng(0) for _ in SPOILED], np.zeros((len(SPOILED), 4))
        for truth in masks:
            clean = decoder.encode(truth)
            for (blur, noise), rng, total in zip(SPOILED, chance, sums, strict=True):
                maps = gaussian_filter(clean, (0, blur, blur))
                if noise:
                    maps += (noise * unit * rng.standard_normal(maps.shape, np.float32)).astype(np.float32)
                total += found(truth, decoder.decode(maps).labels)
        for (blur, noise), (hits, missed, spurious, iou) in zip(SPOILED, sums, strict=True):
            spoiled = f"blur {blur} px, noise {noise}" if blur else "as they are"
            yield {"name": f"{name}, {whose}, {spoiled}", "source": "potency", "role": "other", "decoder": name,
                   "images": len(masks), "cells": int(hits + missed), "iou": float(iou / hits),
                   "f1": float(2 * hits / (2 * hits + missed + spurious))}  # fmt: skip


def cellpose(truth: Labels) -> Iterator[dict[str, Any]]:
    """Cellpose's decoder on the vectors that Cellpose makes, without and with its check of flows (its default)."""
    import torch
    from cellpose import dynamics

    cpu = torch.device("cpu")
    flows = once(lambda: dynamics.labels_to_flows([truth.copy()], device=cpu))[0][0][-2:]
    inside = np.where(truth > 0, 6, -6).astype(np.float32)
    for name, check in (("cellpose without check", 0.0), ("cellpose", 0.4)):

        def work(check: float = check) -> Any:
            return dynamics.compute_masks(5 * flows, inside, flow_threshold=check, device=cpu)

        masks, seconds = once(work)
        masks = masks[0] if isinstance(masks, tuple) else masks
        yield row(name, "cellpose", "other", truth, ms_per_mpix=1e3 * seconds * MPIX / truth.size,
                  **agreement(truth, masks))  # fmt: skip
    maps = np.stack([(truth > 0).astype(np.float32), *flows])
    taken = interleaved({"ours": lambda: DECODERS["flows"].decode(maps)}, 3)["ours"]
    yield row("flows, on cellpose's vectors", "potency", "other", truth, ms_per_mpix=1e3 * taken * MPIX / truth.size,
              **agreement(truth, DECODERS["flows"].decode(maps).labels))  # fmt: skip


def stardist(truth: Labels) -> Iterator[dict[str, Any]]:
    """StarDist's suppression and painting, on every pixel and on every second."""
    from stardist.geometry import polygons_to_label, star_dist
    from stardist.nms import non_maximum_suppression
    from stardist.utils import edt_prob

    rays, middle = star_dist(truth, 32), edt_prob(truth)
    for grid in (1, 2):

        def work(grid: int = grid) -> Labels:
            points, scores, distances = non_maximum_suppression(
                rays[::grid, ::grid], middle[::grid, ::grid], grid=(grid, grid), prob_thresh=0.5, nms_thresh=0.3
            )
            return np.asarray(polygons_to_label(distances, points, prob=scores, shape=truth.shape))

        masks, seconds = once(work)
        yield row(f"stardist, grid {grid}", "stardist", "other", truth, ms_per_mpix=1e3 * seconds * MPIX / truth.size,
                  **agreement(truth, masks))  # fmt: skip


def targets(truth: Labels, repeats: int) -> Iterator[dict[str, Any]]:
    """What it costs to make the maps that a network learns from, ours and the peers' in turns."""
    sides: dict[str, Callable[[], object]] = {n: lambda n=n: DECODERS[n].encode(truth) for n in DECODERS}
    if find_spec("cellpose"):
        import torch
        from cellpose import dynamics

        sides["cellpose"] = lambda: once(lambda: dynamics.labels_to_flows([truth.copy()], device=torch.device("cpu")))
    if find_spec("stardist"):
        from stardist.geometry import star_dist
        from stardist.utils import edt_prob

        sides["stardist's own"] = lambda: (star_dist(truth, 32), edt_prob(truth))
    for name, seconds in interleaved(sides, repeats).items():
        source = "potency" if name in DECODERS else name.partition("'")[0]
        yield row(f"{name} targets", source, "other", truth, targets_ms_per_mpix=1e3 * seconds * MPIX / truth.size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="once, the default on 2048 pixels, all else on 512")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    repeats, truth, crop = 1 if chosen.quick else 9, crowd(10_000, 2048), crowd(625, 512)
    rows = list(ours(truth, [DEFAULT] if chosen.quick else list(DECODERS), repeats, "target"))
    if chosen.quick:
        rows += ours(crop, [name for name in DECODERS if name != DEFAULT], repeats, "other")
    else:
        for cells, side in ((1024, 2048), (2500, 1024), (40_000, 4096)):
            rows += ours(crowd(cells, side), [DEFAULT], repeats, "other")
    rows += targets(crop, repeats)
    for peer, work in (("cellpose", cellpose), ("stardist", stardist)):
        if find_spec(peer):
            rows += work(crop if chosen.quick else truth)
    rows += returned("simulated", simulated()[: 1 if chosen.quick else 3])
    for name in ("dsb2018", "usiigaci_phase")[: 1 if chosen.quick else 2] if os.environ.get("POTENCY_DATA") else ():
        rows += returned(name, real(Path(os.environ["POTENCY_DATA"]) / "segment" / name, 1 if chosen.quick else 1000))
    tell(rows, chosen.json)


if __name__ == "__main__":
    main()
