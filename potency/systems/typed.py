"""Objects with types as truths of a recipe: nuclei of H&E with theirs, and simulated cells with their fates."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from potency.data.gathering import moved
from potency.systems.sources import Relative, sampled, simulated

if TYPE_CHECKING:
    import pandas as pd

    from potency.data.manifest import Manifest
    from potency.systems.recipe import Order

OBJECTS = "truth.objects"  # the column that names the table of each image's objects
TYPES = {1: "other", 2: "inflammatory", 3: "epithelial", 4: "spindle-shaped"}
GRID = 512  # px; patches that begin further out overlap those before them by 24 px
FATES = 2
CELLS = ("Simulated cells of two fates in phase contrast, whole and often touching; groups are clones. Their "
         "difficulty is ours.")  # fmt: skip


def consep(order: Order) -> Relative:
    """CoNSeP, whose tables of objects are written beside the page of the order."""
    return Relative(
        "tissue/consep",
        "Nuclei in H&E of colorectal adenocarcinoma (CoNSeP, Graham et al. 2019), drawn and typed by hand, 256 x 256 "
        "px at 40x; groups are the tiles that patches are cut from, and the set's own division into learning and test "
        "tiles is kept: its 16 patients are not told, so one may stand on both sides. Test patches do not overlap; "
        "nuclei are cut at their borders. Its licence is not confirmed: what learns from it is not given away.",
        rows=partial(_consep, tables=order.into / "types", most=order.budget.rows),
    )


def _consep(path: Path, tables: Path, most: int) -> Manifest:
    import pandas as pd

    from potency.data.manifest import Manifest

    told = pd.read_csv(path / "manifest.csv")
    told = told[told["split"].ne("test") | told[["y0", "x0"]].le(GRID).all(axis=1)].reset_index(drop=True)
    rows = told[["image", "group", "split"]].assign(truth=told["inst"])
    each = pd.read_csv(path / "objects.csv")
    each = pd.DataFrame({"of": each["patch"], "label": each["id"], "class": each["type"].map(TYPES)})
    made = sampled(Manifest.of_rows(rows, path, kinds={"truth": "labels"}), most)  # no more tables than are used
    return with_types(made, [Path(image).stem for image in made.table["image"]], each, tables)


def with_types(rows: Manifest, names: list[str], each: pd.DataFrame, tables: Path) -> Manifest:
    """The rows with a table of objects for each, written into the folder `tables`.

    Args:
        names: how `each` calls the image of each row.
        each: one row an object: `of` (its image), `label` (its number in the mask), `class`.
    """
    from potency.answers.files import write_table

    own = {str(name): part for name, part in each.groupby("of")[["label", "class"]]}
    files = [write_table(own.get(name, each.iloc[:0][["label", "class"]]), tables, "objects") for name in names]
    return rows.add({OBJECTS: moved(files, tables, rows.folder)})


def fates(order: Order, groups: int) -> Manifest:
    """Simulated fields of cells of two fates, with masks and the fate of each cell."""
    import pandas as pd

    from potency.data.manifest import Manifest

    place = order.into / "simulated-types"
    simulated(place, order, f"{order.budget.cells} cells of two fates", kind="fields", look="phase", classes=FATES,
              cells=order.budget.cells, groups=groups)  # fmt: skip
    cells = pd.read_csv(place / "cells.csv")
    each = pd.DataFrame({"of": cells["file"], "label": cells["number"], "class": cells["label"]})
    rows = sampled(Manifest.read(place, truth="mask"), order.budget.rows)
    return with_types(rows, rows.table["image"].astype(str).tolist(), each, order.into / "types")
