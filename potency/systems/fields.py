"""Real sets of whole fields of view in a collection: where they lie, what they are, and the hours of a time-lapse."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from potency.data.manifest import Manifest


@dataclass(frozen=True)
class Fields:
    """A real set of whole fields: where it lies in a collection, and of a time-lapse the hours from frame to frame."""

    name: str
    folder: str
    pattern: str
    about: str
    hours: float = 0.0
    tracks: str = ""  # lineages as the Cell Tracking Challenge writes them, which tell how many cells there were


SETS = (
    Fields("phase-movie", "track/phc_c2dh_u373", "02/t*.tif", "Time-lapse of glioblastoma cells in phase contrast "
           "(U373), one field, a frame every 15 minutes.", 0.25, "02_GT/TRA/man_track.txt"),
    Fields("fluorescence-movie", "track/fluo_n2dl_hela", "01/t*.tif", "Time-lapse of HeLa nuclei in fluorescence, one "
           "field, a frame an hour: confluence is the share covered by nuclei.", 1.0, "01_GT/TRA/man_track.txt"),
    Fields("myoblasts", "track/c2c12_phase_mpm", "01/t*.tif", "Ten frames of myoblasts (C2C12) in phase contrast, 5 "
           "minutes apart.", 1 / 12, "01_GT/TRA/man_track.txt"),
    Fields("phase", "segment/usiigaci_phase", "*/images/*.png", "Fields of elongated cells in phase contrast, 10x."),
    Fields("nuclei", "segment/dsb2018", "*/images/fluo*", "Fields of nuclei in fluorescence, of many microscopes."),
    Fields("smears", "count/bccd", "*/images/*.jpg", "Stained blood smears in colour."),
    Fields("painted", "hcs/nf1_cellpainting", "images/*_DAPI_*.png", "Nuclei of Schwann cells, five wells."),
)  # fmt: skip


def read(folder: Path, fields: Fields) -> Manifest:
    """The images of a set as rows; those of a time-lapse with `movie` and `time` in hours.

    Raises:
        ManifestError: the folder holds none of them.
    """
    import pandas as pd

    from potency.data.manifest import Manifest
    from potency.errors import ManifestError

    found = sorted(path.relative_to(folder).as_posix() for path in folder.glob(fields.pattern))
    if not found:
        raise ManifestError("the set holds none of its images", f"{folder}/{fields.pattern}", "copy the set again")
    table = pd.DataFrame({"image": found})
    if fields.hours:
        table = table.assign(movie=fields.name, frame=range(len(found)), time=np.arange(len(found)) * fields.hours)
    return Manifest.of_rows(table, folder)


def evenly(manifest: Manifest, rows: int) -> Manifest:
    """At most `rows` frames, as far apart in time as they can be."""
    if not rows or len(manifest) <= rows:
        return manifest
    kept = np.zeros(len(manifest), np.bool_)
    kept[np.unique(np.linspace(0, len(manifest) - 1, rows).round().astype(int))] = True
    return manifest.where(kept.tolist())


def counted(tracks: str) -> NDArray[np.int64]:
    """How many cells each frame holds, from lines of track, first frame, last frame, parent (0: none).

    >>> counted("1 0 1 0\\n2 2 3 1\\n3 2 2 1\\n").tolist()
    [1, 1, 2, 1]
    """
    lives = np.array([[int(word) for word in line.split()] for line in tracks.splitlines() if line.strip()])
    frames = np.arange(int(lives[:, 2].max()) + 1)
    return np.asarray(((lives[:, 1, None] <= frames) & (frames <= lives[:, 2, None])).sum(axis=0), np.int64)
