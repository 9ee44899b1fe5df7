"""Simulated fields of view: the mask of cells, the mask of their nuclei and the table of cells agree."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import tifffile
import zoo

from potency.simulate.cells import FATES


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_fields_agree_with_their_table_of_cells(tmp_path: Path) -> None:
    folder = zoo.fields(tmp_path / "set").folder
    cells = rows(folder / "cells.csv")
    for row in rows(folder / "labels.csv"):
        mask = tifffile.imread(folder / row["mask"])
        own = [cell for cell in cells if cell["file"] == row["file"]]
        assert mask.dtype == np.uint16 and len(own) == int(row["cells"])
        assert sum(int(row[f"count.{fate}"]) for fate in FATES) == len(own)
        areas = np.bincount(mask.ravel(), minlength=len(own) + 1)
        assert [int(cell["area"]) for cell in own] == areas[1:].tolist()
        for cell in own:
            assert mask[round(float(cell["y"])), round(float(cell["x"]))] > 0
        with tifffile.TiffFile(folder / row["file"]) as image:
            assert 'PhysicalSizeX="0.65"' in (image.ome_metadata or "") and 'Name="phase"' in (image.ome_metadata or "")


def test_the_stain_of_nuclei_is_bright_where_their_mask_says(tmp_path: Path) -> None:
    folder = zoo.fields(tmp_path / "set", look="nuclei").folder
    for row in rows(folder / "labels.csv"):
        cells, nuclei, light = (tifffile.imread(folder / row[column]) for column in ("mask", "nuclei", "file"))
        assert set(np.unique(nuclei)) <= set(np.unique(cells)) and 0.02 < (nuclei > 0).sum() / (cells > 0).sum() < 0.9
        assert np.median(light[nuclei > 0]) > 1.5 * np.median(light[nuclei == 0])
