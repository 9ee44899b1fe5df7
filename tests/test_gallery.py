"""The training images that a bundle keeps: chosen evenly, bounded, found again, refused where they are damaged."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_bundle import bundle_of, images

from potency import Bundle, embed
from potency.bundle.gallery import FILE, Gallery
from potency.data.manifest import Manifest
from potency.embedding.learned import alike, remembered, spread
from potency.errors import BundleError, PlanError


def learned(folder: Path, count: int = 12) -> Manifest:
    rows = images(folder, [(16, 16)] * count)
    truth = ["dim" if k < count // 4 else "bright" for k in range(count)]
    return rows.add({"truth": truth, "group": [f"g{k % 3}" for k in range(count)]}, "category")


def test_a_bundle_keeps_training_images_and_finds_them_again(tmp_path: Path) -> None:
    rows, bundle = learned(tmp_path / "images"), bundle_of()
    gallery = remembered(rows, bundle)
    assert gallery is not None and len(gallery) == 12 and gallery.pictures.shape[1:] == (64, 64)
    kept = replace(bundle, gallery=gallery).save(tmp_path / "bundle")
    again = Bundle.load(tmp_path / "bundle")
    assert again.gallery is not None and again.gallery.labels == gallery.labels
    assert again.fingerprint == kept.fingerprint == bundle.fingerprint, "pictures change no answer"
    found = alike(embed(rows, again, into=None), again.gallery, 3)
    truths = rows.table["truth"].tolist()
    assert all(near[0].similarity > 0.99 for near in found), "each row finds itself"
    assert [near[0].label for near in found].count("dim") == truths.count("dim")


def test_classes_and_groups_take_turns(tmp_path: Path) -> None:
    rows = learned(tmp_path / "images", 40)
    table = spread(rows, 12).table
    assert Counter(table["truth"]) == {"dim": 6, "bright": 6} and set(table["group"]) == {"g0", "g1", "g2"}


def test_a_gallery_that_is_damaged_or_of_another_model_is_refused(tmp_path: Path) -> None:
    rows, bundle = learned(tmp_path / "images"), bundle_of()
    gallery = remembered(rows, bundle, 4)
    assert gallery is not None and Gallery.read(tmp_path) is None
    with pytest.raises(PlanError, match="of another model"):
        alike(embed(rows, bundle, into=None), replace(gallery, vectors=gallery.vectors[:, :2]))
    wrong = (
        replace(gallery, labels=gallery.labels[:2]), replace(gallery, vectors=gallery.vectors * np.nan),
        replace(gallery, pictures=gallery.pictures[:, :, :0]), replace(gallery, pictures=gallery.pictures[0]),
    )  # fmt: skip
    for broken in wrong:
        (tmp_path / FILE).write_bytes(broken.dumps())
        with pytest.raises(BundleError, match="damaged"):
            Gallery.read(tmp_path)
    for data in (b"", b"PK\x03\x04", gallery.dumps()[:-9]):
        (tmp_path / FILE).write_bytes(data)
        with pytest.raises(BundleError, match="damaged"):
            Gallery.read(tmp_path)
    (tmp_path / FILE).write_bytes(bytes(5 * 2**20))
    with pytest.raises(BundleError, match="more than 4 MB"):
        Gallery.read(tmp_path)
