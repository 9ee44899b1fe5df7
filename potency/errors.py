"""The one tree of errors: each says what is wrong, where, and how to mend it.

PotencyError
├── ManifestError   the table of samples, or its groups, splits and columns
├── ImageError      one image file that cannot be read as pixels
├── PlanError       a plan with an unknown key or an impossible value
├── BundleError     a damaged, hostile or foreign model folder
├── AnswerError     predictions or truths that cannot be compared
└── MissingExtra    an optional library that is not installed
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class PotencyError(Exception):
    """Base of all errors a user can mend; `what`, `where` and `mend` are one plain sentence each.

    >>> print(PotencyError("the file is empty", "cells/a.tif", "copy it again from the microscope"))
    the file is empty
    where: cells/a.tif
    mend: copy it again from the microscope
    """

    def __init__(self, what: str, where: str = "", mend: str = "") -> None:
        super().__init__(what, where, mend)
        self.what, self.where, self.mend = str(what), str(where), str(mend)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"where: {self.where}")
        if self.mend:
            lines.append(f"mend: {self.mend}")
        return "\n".join(lines)


class ManifestError(PotencyError):
    """The table of samples cannot be used as it is."""


class ImageError(PotencyError):
    """An image file cannot be read as pixels."""


class PlanError(PotencyError):
    """A plan names something unknown or impossible."""


class BundleError(PotencyError):
    """A model folder is damaged, hostile, or of another version."""


class AnswerError(PotencyError):
    """Predictions or truths cannot be read, joined or compared."""


class MissingExtra(PotencyError):
    """An optional library is needed and not installed."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(
            f"this needs {library}, which is not installed",
            f"extra '{extra}'",
            f'pip install "potency[{extra}]"',
        )

    def __reduce__(self) -> tuple[type[PotencyError], tuple[str, str, str]]:
        # Workers send errors back to the caller; the two-argument constructor would not survive the trip.
        return PotencyError, (self.what, self.where, self.mend)


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, as the end of a `mend` sentence.

    >>> nearest("resnet-18", ["resnet18", "tiny"])
    "did you mean 'resnet18'?"
    """
    names = sorted(map(str, known))
    close = get_close_matches(str(name), names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(names)
