"""Lists the fields of OME-Zarr plates (HCS layout of OME-NGFF 0.4 and 0.5), each of which is a row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from potency.errors import ImageError, ManifestError

PLAIN = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)?")  # the standard asks for it, and nothing else leaves the plate


def plate_rows(folder: Path, files: Sequence[str]) -> pd.DataFrame | None:
    """One row a field, with `plate`, `well` and `field`, of the plates among `files`; None where there is none.

    Other images among them keep a row of their own.

    Raises:
        ManifestError: a plate whose metadata are damaged.
    """
    rows: list[dict[str, Any]] = []
    plates = 0
    for file in files:
        found = metadata(folder / file).get("plate") if (folder / file).is_dir() else None
        if isinstance(found, Mapping):
            plates += 1
            rows.extend(_fields(folder, file, found))
        else:
            rows.append({"image": file})
    if not plates:
        return None
    if not rows:
        raise ManifestError("the plate holds no fields", str(folder / files[0]), "copy the whole folder again")
    return pd.DataFrame(rows).astype("str").where(pd.DataFrame(rows).notna())


def _fields(folder: Path, file: str, plate: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    from potency.data.wells import well_name

    name = str(plate.get("name") or Path(file).name.removesuffix(".zarr").removesuffix(".ome"))
    for well in plate.get("wells") or ():
        path = str(well.get("path", "")) if isinstance(well, Mapping) else ""
        where = folder / file / path
        if not PLAIN.fullmatch(path):
            raise ManifestError(f"the plate names a well at '{path}'", str(folder / file), "write the plate again")
        images = (metadata(where).get("well") or {}).get("images") or ()
        several = len({str(image.get("acquisition")) for image in images}) > 1
        for image in images:
            field = str(image.get("path", ""))
            if not PLAIN.fullmatch(field):
                raise ManifestError(f"the well names a field at '{field}'", str(where), "write the plate again")
            told = {"acquisition": str(image.get("acquisition"))} if several else {}
            spelt = path.replace("/", "")
            yield {"image": f"{file}/{path}/{field}", "plate": name, "well": well_name(spelt) or spelt,
                   "field": field, **told}


def metadata(path: Path) -> Mapping[str, Any]:
    """What a zarr group says of itself; nothing where there is no group.

    Read as plain JSON: a plate has thousands of groups, and opening each as zarr takes minutes.

    Raises:
        ImageError: metadata that cannot be read.
    """
    for name, inner in ((".zattrs", ()), ("zarr.json", ("attributes", "ome"))):
        file = path / name
        if not file.is_file():
            continue
        try:
            found: Any = json.loads(file.read_text("utf-8"))
            for key in inner:
                found = found.get(key) or {}
        except (OSError, ValueError, AttributeError) as fault:
            raise ImageError(f"the metadata of the OME-Zarr cannot be read: {fault}", str(file),
                             "copy the whole folder again") from fault
        return found if isinstance(found, Mapping) else {}
    return {}
