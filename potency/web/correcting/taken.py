"""What was corrected as something to take away: a folder of masks with a table of all images and their truth."""

from __future__ import annotations

import csv
import io
import zipfile

from potency.errors import PotencyError
from potency.web.correcting.corrections import DONE, LABELS, WHOLE, Corrections
from potency.web.correcting.edits import Edits

FORMULA = ("=", "+", "-", "@", "\t")  # what a spreadsheet would take for one


def archive(corrections: Corrections, id: str) -> tuple[str, bytes]:
    """Name and bytes of a zip: `table.csv` (image, truth, revision) and, of outlines, `masks/<n>.tif`.

    Raises:
        PotencyError: no image is done.
    """
    found = corrections.find(id)
    done = [item for item in corrections.items(id) if item.state == DONE]
    if not done:
        raise PotencyError("no image is done yet", found.title, "correct some images, and call each done")
    written, table = io.BytesIO(), io.StringIO(newline="")
    rows = csv.writer(table)
    rows.writerow(["image", "truth", "changes", "classes"])
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as packed:
        for item in done:
            truth = item.classes.get(WHOLE, "")
            if found.kind == LABELS:
                truth = f"masks/{item.number + 1:04d}.tif"
                packed.writestr(truth, _tiff(Edits(corrections.store, found, item, corrections.file(id, item))))
            told = "; ".join(f"{cell}: {name}" for cell, name in item.classes.items() if cell != WHOLE)
            rows.writerow([_plain(item.name), _plain(truth), item.revision, _plain(told)])
        packed.writestr("table.csv", table.getvalue())
    return f"corrections-{id}.zip", written.getvalue()


def _tiff(edits: Edits) -> bytes:
    import tifffile

    written = io.BytesIO()
    tifffile.imwrite(written, edits.labels(), photometric="minisblack", compression="zlib", metadata=None)
    return written.getvalue()


def _plain(text: str) -> str:
    return "'" + text if text.startswith(FORMULA) else text
