"""Corrected images as rows to learn from: their truth, what belongs together, and what is kept back to judge by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.data.whole import replaced
from potency.errors import PotencyError
from potency.web.correcting.corrections import DONE, LABELS, WHOLE, Correction, Corrections, Item
from potency.web.correcting.edits import Edits
from potency.web.middle import middles
from potency.web.sets import File

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

FEWEST = 4  # images under which none is kept back: no score
SHARE = 1 / 3  # of the images that is kept back
LEARN, HELD = "learn", "held"
KEPT = "rows.json"


@dataclass(frozen=True)
class Rows:
    """What is learned from, and what is kept back.

    Attributes:
        table: one mapping an image: id, image, group, truth, part, digest ...
        how: in words, how the images were parted.
        known: whether the groups are more than single images.
    """

    table: list[dict[str, Any]]
    how: str
    known: bool

    def manifest(self, folder: Path, *parts: str) -> Manifest:
        """The rows of these parts; truths lie in `folder`."""
        import pandas as pd

        from potency.data.manifest import Manifest

        rows = [{k: v for k, v in row.items() if k not in ("part", "digest", "name")} for row in self.of(*parts)]
        source = self.how if self.known else "unknown"
        return Manifest.of_rows(pd.DataFrame(rows), folder, origin={"group": source})

    def of(self, *parts: str) -> list[dict[str, Any]]:
        """The mappings of these parts."""
        return [row for row in self.table if row["part"] in parts]


def gathered(corrections: Corrections, found: Correction, folder: Path, classes: Sequence[str],
             learned: Collection[str]) -> Rows:  # fmt: skip
    """The images that are done, as they are now; a second call for the same `folder` gives the same, whatever came.

    Args:
        classes: of cells that the model tells apart; () where it only outlines.
        learned: digests of images that the model has learned from already: none of them may judge it.

    Raises:
        PotencyError: no image is done, or a class is none of the model's.
    """
    kept = folder / KEPT
    if kept.is_file():
        return Rows(**json.loads(kept.read_text(encoding="utf-8")))
    items = [item for item in corrections.items(found.id) if item.state == DONE]
    files = {file.id: file for file in corrections.sets.files(found.set)}
    items = [item for item in items if item.file in files]
    if not items:
        raise PotencyError("no image is done yet", found.title, "correct some images, and call each done")
    groups, known, how = grouped([files[item.file] for item in items], [item.name for item in items])
    parts, note = parted(items, groups, [files[item.file].digest for item in items], learned)
    paths = corrections.sets.paths(found.set)
    parts_of = middles(files.values())
    simulated = bool(corrections.sets.find(found.set).facts.get("simulated"))
    table = []
    for item, group in zip(items, groups, strict=True):
        truth = _truth(corrections, found, item, folder, classes)
        table.append({"id": item.id, "image": str(paths[item.file].resolve()), "group": group, "name": item.name,
                      "simulated": simulated, "part": parts[item.id], "digest": files[item.file].digest,
                      **{name: cells.get(item.file) for name, cells in parts_of.items()}, **truth})
    for item in items:
        query = "UPDATE corrected SET part = ? WHERE id = ? AND part = ''"
        corrections.store.change(query, parts[item.id], item.id)
    made = Rows(table, "; ".join(filter(None, (how, note))), known)
    replaced(kept, json.dumps(made.__dict__))
    return made


def grouped(files: Sequence[File], names: Sequence[str]) -> tuple[list[str], bool, str]:
    """What belongs together by the names of the files (donor, plate, well, folder ...), copies of one image always."""
    import pandas as pd

    from potency.data.groups import infer_groups

    found = infer_groups(pd.DataFrame({"image": list(names)}))
    groups = [str(one) for one in found[0]] if found else [file.digest[:16] for file in files]
    first: dict[str, str] = {}
    groups = [first.setdefault(file.digest, group) for file, group in zip(files, groups, strict=True)]
    return groups, found is not None, f"groups {found[1]}" if found else "groups unknown: every image is its own"


def parted(items: Sequence[Item], groups: Sequence[str], digests: Sequence[str],
           learned: Collection[str]) -> tuple[dict[str, str], str]:  # fmt: skip
    """Which images are learned from and which are kept back, whole groups together; and a note where that is unusual.

    What was decided for an image once stays so: what a model learned from never judges its successor.
    """
    note = ""
    if len(set(groups)) < 2 and len(items) >= FEWEST:
        note = "all images are of one group, so single images are kept back: the score holds for this group only"
        groups = list(digests)
    told: dict[str, str] = {}
    for item, group, digest in zip(items, groups, digests, strict=True):
        if item.part == LEARN or digest in learned:
            told[group] = LEARN  # outweighs what was held: it is known to the model
        elif item.part == HELD:
            told.setdefault(group, HELD)
    size = {group: groups.count(group) for group in dict.fromkeys(groups)}
    held = sum(size[group] for group, part in told.items() if part == HELD)
    aim = round(len(items) * SHARE) if len(items) >= FEWEST else 0
    free = [group for group in sorted(size, key=_order) if group not in told]
    if aim and LEARN not in told.values() and free:
        told[max(free, key=lambda one: size[one])] = LEARN
    for group in free:
        if group not in told:
            # As near to the share as whole groups come, and never more than is learned from.
            take = held + size[group] / 2 <= aim and held + size[group] <= len(items) / 2
            told[group] = HELD if take else LEARN
            held += size[group] * take
    if not any(part == LEARN for part in told.values()):
        told = dict.fromkeys(told, LEARN)
    return {item.id: told[group] for item, group in zip(items, groups, strict=True)}, note


def _order(group: str) -> str:
    return hashlib.sha256(group.encode()).hexdigest()


def _truth(
    corrections: Corrections, found: Correction, item: Item, folder: Path, classes: Sequence[str]
) -> Mapping[str, Any]:
    """The cells of the truth of a row."""
    if found.kind != LABELS:
        return {"truth": item.classes.get(WHOLE) or item.said.get("answer")}
    import pandas as pd

    from potency.answers import Labels
    from potency.answers.files import CLASS, UNCLASSIFIED

    labels = Edits(corrections.store, found, item, corrections.file(found.id, item)).labels()
    table = None
    if classes:
        numbers = Labels.of(labels).objects["label"].astype(int).tolist()
        names = [item.classes.get(str(number), UNCLASSIFIED) for number in numbers]
        table = pd.DataFrame({"label": numbers, CLASS: names})
    cells = Labels.of(labels, table).cells(folder, "truth")
    return {name: value for name, value in cells.items() if name != "truth.objects" or classes}
