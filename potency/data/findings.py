"""What a check finds: faults, which are refused, and warnings, which are shown."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from potency.errors import ManifestError


@dataclass(frozen=True)
class Finding:
    """One thing found: a short code, what and where it is, how to mend it, and the ids of the rows it concerns."""

    code: str
    what: str
    where: str = ""
    mend: str = ""
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Findings:
    """All faults and warnings of a manifest; true where there is any fault."""

    faults: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.faults)

    def __iter__(self) -> Iterator[Finding]:
        yield from self.faults
        yield from self.warnings

    def table(self) -> pd.DataFrame:
        """One row a finding: kind (fault or warning), code, what, where, mend, number of rows."""
        names = ["kind", "code", "what", "where", "mend", "rows"]
        cells = [(kind, each.code, each.what, each.where, each.mend, len(each.rows))
                 for kind, found in (("fault", self.faults), ("warning", self.warnings)) for each in found]
        return pd.DataFrame(cells, columns=names)

    def refuse(self, where: str = "", ignore: Collection[str] = ()) -> None:
        """Raise one ManifestError that names all faults but those whose code is in `ignore`."""
        faults = [fault for fault in self.faults if fault.code not in ignore]
        if not faults:
            return
        if len(faults) == 1:
            raise ManifestError(faults[0].what, faults[0].where or where, faults[0].mend)
        raise ManifestError(f"{len(faults)} faults: " + "; ".join(fault.what for fault in faults), where,
                            "; ".join(dict.fromkeys(fault.mend for fault in faults if fault.mend)))


def some(names: Sequence[str], most: int = 5, between: str = ", ") -> str:
    """The first few of many, and how many more there are.

    >>> some(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return between.join(map(str, names[:most])) + rest


def tally(counts: pd.Series) -> str:
    """Values with how often they stand, the most frequent first."""
    return some([f"{value} ({count})" for value, count in counts.items()])
