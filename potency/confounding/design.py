"""What the design itself confounds: a plate that holds one class only, groups of one class, groups nobody knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from potency.confounding.exchange import Codes
from potency.confounding.rules import Fault
from potency.confounding.suspects import BACKGROUND, MEASURED, OTHER, Suspect
from potency.data.findings import some
from potency.evaluation.intervals import pure

Labels = NDArray[np.object_]
SHUFFLE = "next time put every class on every one; with what there is, no figure can be trusted to be about the cells"


def design_faults(found: Sequence[Suspect], labels: Labels, groups: Codes, known: bool) -> tuple[Fault, ...]:
    """Everything that no test can mend, gravest first; `labels` (N,) are classes, `known` whether groups are."""
    faults = [fault for suspect in found for fault in _of(suspect, labels, groups)]
    if not known:
        faults.append(Fault("groups-unknown", "the groups are unknown: every image is taken as independent",
                            "name what images come from with --group"))  # fmt: skip
    elif len(np.unique(groups)) < len(groups) and pure(np.unique(labels.astype(str), return_inverse=True)[1], groups):
        faults.append(Fault("one-class-a-group", "each group holds one class only, so that what differs between groups "
                            "and what differs between classes are one thing inside them",
                            "believe figures of groups that were never seen only"))  # fmt: skip
    return tuple(sorted(faults, key=lambda fault: ("bad", "caution").index(fault.mark)))


def _of(suspect: Suspect, labels: Labels, groups: Codes) -> Iterator[Fault]:
    if suspect.kind in (BACKGROUND, MEASURED):
        return
    if suspect.names is None:
        yield from _ranges(suspect, labels)
        return
    values = np.array([cell if cell is not None else "(missing)" for cell in suspect.names], dtype=object)
    classes = {value: set(labels[values == value]) for value in dict.fromkeys(values)}
    homes = {label: [value for value, inside in classes.items() if label in inside] for label in dict.fromkeys(labels)}
    alone = [label for label, where in homes.items() if len(where) == 1 and len(classes[where[0]]) == 1]
    where = some([f"{label} on {homes[label][0]}" for label in alone], 3)
    if alone and suspect.kind == OTHER:
        whole = len(alone) == len(homes)
        what = "is the label in other words" if whole else f"stands for a class by itself ({where})"
        yield Fault("unnamed", f"column '{suspect.name}' {what}",
                    "if it was written down with the label, it is none; if before, the two cannot be told apart",
                    suspect.name)  # fmt: skip
    elif alone:
        yield Fault("inseparable", f"{suspect.name} and label cannot be told apart ({where} alone): no analysis can "
                    "separate them", SHUFFLE, suspect.name)  # fmt: skip
    elif all(len(inside) == 1 for inside in classes.values()) and _shared(values, groups, classes):
        if suspect.kind == OTHER:
            yield Fault("unnamed", f"each value of column '{suspect.name}' holds one class only",
                        "find out whether it was known before the label", suspect.name)  # fmt: skip
            return
        yield Fault("nested", f"each {suspect.name} holds one class only and is shared by several groups, so the split "
                    f"by group does not separate {suspect.name} and label", f"split by it: --group {suspect.name}; "
                    "next time put every class on every one", suspect.name)  # fmt: skip


def _shared(values: Labels, groups: Codes, classes: dict[object, set[object]]) -> bool:
    """Whether values of at least two classes are shared by several groups: a value of one group says nothing."""
    shared = {next(iter(inside)) for value, inside in classes.items() if len(np.unique(groups[values == value])) > 1}
    return len(shared) > 1


def _ranges(suspect: Suspect, labels: Labels) -> Iterator[Fault]:
    """A quantity whose values of the classes do not overlap."""
    rank = suspect.values[:, 0]
    known = suspect.values[:, 2] == 0 if suspect.values.shape[1] > 2 else np.ones(len(rank), bool)
    spans = sorted((rank[known & (labels == label)].min(), rank[known & (labels == label)].max(), str(label))
                   for label in dict.fromkeys(labels[known]))  # fmt: skip
    if len(spans) > 1 and all(one[1] < two[0] for one, two in zip(spans, spans[1:], strict=False)):
        order = ", then ".join(label for *_, label in spans)
        yield Fault("inseparable", f"{suspect.name} and label cannot be told apart ({order}, without an overlap): no "
                    "analysis can separate them", SHUFFLE, suspect.name)  # fmt: skip


def is_groups(suspect: Suspect, groups: Codes) -> bool:
    """Whether a suspect is the groups in other words: constant inside each, and another in each."""
    if suspect.names is None:
        return False
    codes = np.unique(np.array([str(name) for name in suspect.names]), return_inverse=True)[1]
    pairs = len(np.unique(np.stack([codes, groups]), axis=1).T)
    return pairs == len(np.unique(codes)) == len(np.unique(groups))
