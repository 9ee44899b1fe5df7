"""Quality of images against truth: focus, confluence, light, planted faults, flags on real sets, and the time."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from potency.data.manifest import Manifest
from potency.data.readers import open_image
from potency.measurement.quality import camera, focus, ground
from potency.measurement.quality.flatfield import learn_light
from potency.measurement.quality.measures import judge
from potency.measurement.quality.quality import flagged, quality
from potency.simulate import faults
from potency.simulate.defocus import blurred, sigma_of, through_focus
from potency.simulate.survey import visits
from potency.simulate.world import World, wells_of

Row = dict[str, Any]
Plane = NDArray[np.float32]
AMOUNTS = (1.0, 2.0, 4.0)  # px
SETS = {  # folder under POTENCY_DATA, pattern; of the calibrated ones the images that recipes/focus.py leaves out
    "mitocheck": ("classify/mitocheck_nuclei16", "[!O]*/*.png"),
    "jurkat": ("classify/jurkat_ifc_cellcycle/brightfield", "*/*.png"),
    "293a": ("classify/bf_293a_ht1080", "*/*.jpg"),
    "wbc": ("classify/wbc5_tecom", "[!m]*/*.png"),
    "dsb": ("segment/dsb2018", "train/images/*"),
    "usiigaci": ("segment/usiigaci_phase", "train/images/*.png"),
}
MASKED = {  # images, their masks: pattern and how one leads to the other
    "usiigaci phase": ("segment/usiigaci_phase/*/images/*.png", lambda p: p.parents[1] / "labels" / f"{p.stem}.tif"),
    "U373 phase": ("track/phc_c2dh_u373/02/t*.tif",
                   lambda p: p.parents[1] / "02_ST/SEG" / p.name.replace("t", "man_seg", 1)),
    "dsb nuclei": ("segment/dsb2018/train/images/fluo*", lambda p: p.parents[1] / "labels" / f"{p.stem}.tif"),
}  # fmt: skip
FLAGGED = ("classify/mitocheck_nuclei16", "classify/jurkat_ifc_cellcycle", "classify/tcell_autofluor",
           "classify/bf_293a_ht1080", "classify/wbc5_tecom", "segment/usiigaci_phase/train/images",
           "track/phc_c2dh_u373/02", "track/c2c12_phase_mpm/01")  # fmt: skip


def row(name: str, value: float, size: str, source: str = "potency", **more: Any) -> Row:
    role = "target" if source in ("potency", "combined") else "other"
    return {"name": name, "source": source, "role": role, "size": size, "value": round(float(value), 4), **more}


def grey(path: Path) -> Plane:
    return np.asarray(open_image(path).crop().mean(axis=0), np.float32)


def scores(plane: Plane) -> dict[str, float]:
    """Each measure and the combined one, larger where sharper."""
    found = focus.measures(plane, camera.noise(plane, True))
    return {"combined": -focus.blur(found), **found}


def auc(wrong: Sequence[dict[str, float]], right: Sequence[dict[str, float]], name: str) -> float:
    """How often an image that is out of focus looks less sharp than one that is in focus."""
    values = np.array([each[name] for each in (*wrong, *right)])
    low = np.nan_to_num(-values, nan=float(np.nanmax(-values)))
    return float(roc_auc_score([1] * len(wrong) + [0] * len(right), low))


def out_of_focus(root: Path, most: int) -> Iterator[Row]:
    """MitoCheck's own class OutOfFocus: the measures, and what the flag finds."""
    table = Manifest.read(root / "classify/mitocheck_nuclei16")
    table = table.where(np.arange(len(table)) % max(1, len(table) // most) == 0)
    truth = table.table["truth"].eq("OutOfFocus").to_numpy()
    found = [scores(table.open(each).crop()[0].astype(np.float32)) for each in table.records()]
    wrong = [one for one, out in zip(found, truth, strict=True) if out]
    right = [one for one, out in zip(found, truth, strict=True) if not out]
    size = f"{len(wrong)} OutOfFocus, {len(right)} others"
    for name in ("combined", *focus.NAMES):
        yield row("focus: AUC, MitoCheck OutOfFocus", auc(wrong, right, name), size, name)
    raised = quality(table).table["quality.flags"].str.contains("out of focus").to_numpy()
    yield row("flag out of focus: found of MitoCheck OutOfFocus", raised[truth].mean(), size)
    yield row("flag out of focus: raised for the others", raised[~truth].mean(), size)


def blur(root: Path, most: int) -> Iterator[Row]:
    """Sharp images against the same blurred by known amounts, set by set."""
    figures: dict[tuple[str, float], list[float]] = {}
    for name, (folder, pattern) in SETS.items():
        files = sorted((root / folder).glob(pattern))[1::2]
        planes = [grey(path)[:256, :256] for path in files[:: max(1, len(files) // most)]]
        sharp = [scores(plane) for plane in planes]
        for amount in AMOUNTS:
            rng = np.random.default_rng(int(amount))
            soft = [scores(blurred(plane, amount, camera.noise(plane, True), rng)) for plane in planes]
            for measure in ("combined", *focus.NAMES):
                figures.setdefault((measure, amount), []).append(auc(soft, sharp, measure))
            value = figures["combined", amount][-1]
            yield row(f"focus: AUC, blurred by {amount:g} px, {name}", value, f"{len(planes)} images", "combined")
    for (measure, amount), values in figures.items():
        yield row(f"focus: AUC, blurred by {amount:g} px, mean of sets", np.mean(values), f"{len(values)} sets",
                  measure, lowest=round(min(values), 4))  # fmt: skip


def defocus(fields: int) -> Iterator[Row]:
    """The blur in pixels that is said of simulated fields, against that of the optics."""
    away = (0.0, 3.0, 6.0, 9.0, 12.0, 18.0)
    for look in ("fluorescence", "phase"):
        factors = []
        for seed in range(100, 100 + fields):
            world = World(look=look, cells=40, groups=1, wells=1, field=320, seed=seed, pixel_size=0.5)
            for distance, taken in zip(away, through_focus(world, away), strict=True):
                said = -scores(next(iter(taken.pictures.values())).astype(np.float32))["combined"]
                factors.append(abs(np.log2(said / sigma_of(look, distance, 0.5))))
        yield row(f"focus: factor between said and true blur, simulated {look}", 2 ** np.median(factors),
                  f"{fields} fields, 0 to 18 um")  # fmt: skip


def confluence(root: Path, most: int, fields: int) -> Iterator[Row]:
    """Share covered by cells, against masks."""
    for look in ("brightfield", "phase"):
        for cells in (10, 100, 400, 1200):
            world = World(look=look, cells=cells * fields, groups=1, wells=fields, field=512, seed=cells)
            pairs = [(v.field.pictures[look], v.field.labels > 0) for v in visits(world, wells_of(world))]
            yield _covered(f"simulated {look}, {cells} cells", pairs)
    for name, (pattern, mask) in MASKED.items():
        files = [path for path in sorted(root.glob(pattern)) if mask(path).is_file()]
        files = files[:: max(1, len(files) // most)]
        if files:
            yield _covered(name, [(grey(path), open_image(mask(path)).crop()[0] > 0) for path in files])


def _covered(name: str, pairs: Sequence[tuple[NDArray[Any], NDArray[np.bool_]]]) -> Row:
    away, overlap = [], []
    for plane, mask in pairs:
        found = ground.covered(plane.astype(np.float32), True)
        away.append(found.mean() - mask.mean())
        overlap.append((found & mask).sum() / max(1, (found | mask).sum()))
    truth = float(np.mean([mask.mean() for _, mask in pairs]))
    return row(f"confluence: mean absolute error, {name}", np.mean(np.abs(away)), f"{len(pairs)} images",
               truth=round(truth, 3), bias=round(float(np.mean(away)), 4),
               overlap=round(float(np.mean(overlap)), 3))  # fmt: skip


def shading(root: Path, most: int) -> Iterator[Row]:
    """Known shading laid over images whose own light was taken off; what of it is left after correction."""
    files = sorted((root / "segment/usiigaci_phase/train/images").glob("*.png"))[:most]
    sets = {"usiigaci phase": [grey(path) for path in files]} if len(files) == most else {}
    for look in ("brightfield", "fluorescence"):
        world = World(look=look, cells=25 * most, groups=5, wells=-(-most // 5), field=256, seed=3)
        sets[f"simulated {look}"] = [next(iter(v.field.pictures.values())) for v in visits(world, wells_of(world))]
    for name, planes in sets.items():
        shade = faults.shade(planes[0].shape)
        own = learn_light(planes)
        shaded = [own.correct(plane) * shade for plane in planes]
        for count in (5, len(planes)):
            left = learn_light(shaded[:count]).flat / shade
            yield row(f"light: unevenness left, {name}", np.std(left / left.mean()), f"{count} images",
                      before=round(float(np.std(shade)), 4))  # fmt: skip


def planted(fields: int) -> Iterator[Row]:
    """Faults planted in simulated fields of view, against the same fields without."""
    world = World(look="phase", cells=60 * fields, groups=4, wells=-(-fields // 4), field=512, seed=8)
    planes = [v.field.pictures["phase"].astype(np.float32) for v in visits(world, wells_of(world))]
    world = World(look="fluorescence", cells=60 * fields, groups=4, wells=-(-fields // 4), field=512, seed=8)
    stained = [v.field.pictures["nucleus"].astype(np.float32) for v in visits(world, wells_of(world))]
    rng = np.random.default_rng(0)
    cases: list[tuple[str, str, list[Plane], Callable[[Plane], Plane]]] = [
        ("bubble", "bubbles", planes, lambda plane: faults.bubble(plane, rng)),
        ("specks", "specks_per_mpx", planes, lambda plane: faults.specks(plane, rng, 150)),
        ("haze", "haze", stained, faults.haze),
    ]
    for name, measure, clean, fault in cases:
        before, after = ([judge(p)[measure] for p in some] for some in (clean, [fault(p) for p in clean]))
        value = roc_auc_score([0] * len(before) + [1] * len(after), np.nan_to_num(before + after))
        yield row(f"planted {name}: AUC of {measure}", value, f"{len(clean)} simulated fields")


def flags(root: Path, most: int) -> Iterator[Row]:
    """How many images of each real set carry which flag."""
    for folder in FLAGGED:
        if not (root / folder).is_dir():
            continue
        rows = Manifest.read(root / folder)
        rows = rows.where(np.arange(len(rows)) % max(1, len(rows) // most) == 0)
        found = flagged(made := quality(rows))
        said = ", ".join(f"{word} {len(at) / len(rows):.1%}" for word, at in found.items())
        yield row(f"flags: images without one, {folder}", made.table["quality.flags"].eq("").mean(),
                  f"{len(rows)} images", flags=said or "none")  # fmt: skip


def speed(repeats: int) -> Iterator[Row]:
    """Time of one core."""
    world = World(look="phase", cells=300, groups=1, wells=1, field=1208, seed=1)
    plane = next(visits(world, wells_of(world))).field.pictures["phase"][:960]
    single = plane.astype(np.float32)
    work: tuple[tuple[str, Callable[[], object]], ...] = (
        ("confluence of 1208 x 960", lambda: ground.covered(single, True)),
        ("all measures of 1208 x 960", lambda: judge(plane)),
    )
    for name, call in work:
        spent = []
        for _ in range(repeats):
            begun = time.process_time()
            call()
            spent.append(time.process_time() - begun)
        seconds = float(np.median(spent))
        yield row(f"time: seconds, {name}", seconds, f"{plane.size / 1e6:.2f} megapixels",
                  seconds_per_mpx=round(seconds / plane.size * 1e6, 4))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer images; the size says so")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    root = Path(os.environ.get("POTENCY_DATA", "no-real-images"))
    few = asked.quick
    made = [*speed(3 if few else 7), *defocus(2 if few else 10), *planted(8 if few else 24),
            *confluence(root, 4 if few else 25, 2 if few else 6), *shading(root, 10 if few else 40)]  # fmt: skip
    if root.is_dir():  # nothing but simulated fields otherwise
        made += out_of_focus(root, 300 if few else 4000)
        made += [*blur(root, 15 if few else 60), *flags(root, 40 if few else 400)]
    if asked.json:
        print(json.dumps(made))
    else:
        for each in made:
            more = {k: v for k, v in each.items() if k not in ("name", "source", "role", "value", "size")}
            print(f"{each['name']:62}{each['source']:12}{each['value']:>9.4f}  {each['size']}  {more or ''}")


if __name__ == "__main__":
    main()
