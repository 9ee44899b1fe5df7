"""The table of an explained manifest: what was found of each row, or why nothing was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from potency.data.manifest import Manifest
from potency.inference.store import Store


def finished(
    manifest: Manifest, store: Store, keys: list[str], errors: Mapping[str, str], folder: Path, name: str
) -> Manifest:
    """Join what the store holds with the errors of the rest; write `explanations.parquet` and `.csv`.

    The rows are those of a table in `folder`, as the paths of the maps are.
    """
    found = store.frame(keys)
    if name not in found.columns:
        found.insert(0, name, None)
    found[f"{name}.error"] = pd.array([errors.get(key) for key in keys], dtype="str")
    made = manifest.placed(folder).add(found, {name: "picture"})
    store.compact()
    made.write(folder / "explanations.parquet")
    made.write(folder / "explanations.csv")
    return made
