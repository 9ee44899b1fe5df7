"""Near-duplicates on real sets: planted copies found, look-alikes wrongly called, beside a plain perceptual hash."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from potency.data.duplicates import near_duplicates, thumbnail
from potency.data.manifest import Manifest

SETS: dict[str, tuple[str, ...]] = {
    "jurkat_ifc_cellcycle": ("G1", "S_phase", "G2", "Prophase"),
    "tcell_autofluor": (),
    "mitocheck_nuclei16": (),
    "bf_293a_ht1080": (),
}
PLANTED, HAMMING = 300, 6
Pixels = NDArray[np.float32]
Pairs = set[tuple[int, int]]


def plane(image: NDArray[Any]) -> Pixels:
    """The image as one 8-bit plane, as a viewer would export it."""
    grey = image.mean(axis=0, dtype=np.float32)
    if image.dtype != np.uint8:
        low, high = float(grey.min()), float(grey.max())
        grey = 16 + 192 * (grey - low) / max(high - low, 1e-6)
    return np.asarray(grey, dtype=np.float32)


def copied(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A copy rescaled by .5 to 2, contrast and brightness changed by up to 30 %, saved as JPEG 70."""
    scale = 2 ** rng.uniform(-1, 1)
    size = (max(2, round(pixels.shape[1] * scale)), max(2, round(pixels.shape[0] * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    changed = ((small - small.mean()) * rng.uniform(0.7, 1.3) + small.mean()) * rng.uniform(0.7, 1.3)
    raw = np.clip(np.round(changed), 0, 255).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", raw, [cv2.IMWRITE_JPEG_QUALITY, 70])
    return cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE).astype(np.float32)


def ours(images: list[Pixels], groups: list[str]) -> Pairs:
    thumbnails = np.stack([thumbnail(image[None]) for image in images])
    shapes = [(image.shape[0], image.shape[1]) for image in images]
    return {(pair.first, pair.second) for pair in near_duplicates(thumbnails, shapes, groups)}


def hashed(images: list[Pixels], groups: list[str]) -> Pairs:
    """The 63-bit perceptual hash: signs of the low DCT coefficients against their median, within 6 bits."""
    low = np.stack(
        [cv2.dct(cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA))[:8, :8].ravel()[1:] for image in images]
    )
    bits = np.where(low > np.median(low, axis=1, keepdims=True), 1.0, -1.0).astype(np.float32)
    codes = np.unique(groups, return_inverse=True)[1]
    near = (bits @ bits.T >= bits.shape[1] - 2 * HAMMING) & (codes[:, None] != codes)
    return {(int(one), int(two)) for one, two in zip(*np.nonzero(np.triu(near, 1)), strict=True)}


def measure(name: str, root: Path, repeats: int) -> list[dict[str, Any]]:
    manifest = Manifest.read(root / name, classes=SETS[name])
    groups = manifest.table["group"].tolist()
    images = [plane(manifest.open(row).crop()) for row in manifest.records()]
    figures: dict[str, dict[str, list[float]]] = {}
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        chosen = rng.choice(len(images), min(PLANTED, len(images) // 5), replace=False)
        more = images + [copied(images[at], rng) for at in chosen]
        wider = groups + [f"planted {at}" for at in range(len(chosen))]
        planted = {(int(at), len(images) + number) for number, at in enumerate(chosen)}
        for source, search in (("potency", ours), ("perceptual hash", hashed)):
            into = figures.setdefault(source, {"recall": [], "alarms": [], "cpu_seconds": []})
            begun = time.process_time()
            alarms = search(images, groups)
            into["cpu_seconds"].append(time.process_time() - begun)
            into["alarms"].append(len({at for pair in alarms for at in pair}) / len(images))
            into["recall"].append(len(planted & search(more, wider)) / len(planted))
    return [
        {
            "name": f"duplicates {name}",
            "source": source,
            "role": "target" if source == "potency" else "other",
            "size": f"{len(images)} images, {repeats} x {len(chosen)} planted",
            **{key: round(statistics.median(values), 4) for key, values in each.items()},
            "lowest_recall": round(min(each["recall"]), 4),
        }
        for source, each in figures.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one planting a set instead of five")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    root = Path(os.environ.get("POTENCY_DATA", "")) / "classify"
    if "POTENCY_DATA" not in os.environ or not root.is_dir():
        rows: list[dict[str, Any]] = []  # nothing to measure without the real images
    else:
        rows = [row for name in SETS for row in measure(name, root, 1 if options.quick else 5)]
    if options.json:
        print(json.dumps(rows))
        return
    print(
        "no real images: POTENCY_DATA names no folder with classify/"
        if not rows
        else f"{'set':34}{'by':18}{'planted found':>14}{'images called':>15}{'CPU s':>9}"
    )
    for row in rows:
        print(
            f"{row['name']:34}{row['source']:18}{row['recall']:>14.1%}{row['alarms']:>15.2%}{row['cpu_seconds']:>9.1f}"
        )


if __name__ == "__main__":
    main()
