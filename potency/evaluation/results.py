"""What an evaluation says: intervals, contests and the report, as plain frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pandas import DataFrame


@dataclass(frozen=True)
class Interval:
    """A figure on all samples with its 95 % interval; `low` and `high` are None where none is honest.

    >>> print(Interval(0.7731, 0.7402, 0.8011))
    0.773 [0.740, 0.801]
    >>> print(Interval(0.5, None, None))
    0.500
    """

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Contest:
    """Two prediction columns compared on the rows that both have answered, row by row and draw by draw.

    `differences` are first minus second with the interval of the paired bootstrap over groups. `mcnemar_p` and
    `delong_p` (two classes only) are the classical tests, which take rows as independent; the `verdict` does not rest
    on them but on the headline metric's interval: the first is "better" or "worse", or the data are "inconclusive".
    """

    first: str
    second: str
    differences: Mapping[str, Interval]
    mcnemar_p: float | None = None
    delong_p: float | None = None
    verdict: str = "inconclusive"
    headline: str = ""
    samples: int = 0


@dataclass(frozen=True)
class Report:
    """Rows of evidence and numbers with intervals; `write` makes it a page a sceptic can read.

    `rows` are those that have a truth and an answer in the first prediction column (other columns may have gaps);
    `numbers` is {column: {metric: Interval}}, a metric that cannot be computed is absent; `left_out` is {column:
    {reason: rows}}; `notes` are sentences a reader must see (too few groups, classes never seen). `facts` comes from
    whoever ran the protocol: "split", "split_kind", "random_split", "learning", "fingerprint", "command", "versions",
    "findings", "banner" (first lines), "plan", "folder", "title", "simulated", "leaks", "audit" (for shortcuts),
    "calibration" (error before and after, curve before), "ood" (how many are called unlike), "subgroups",
    "explanation" (maps of a few test images, and what they are worth).
    """

    task: str
    rows: DataFrame
    labels: tuple[str, ...]
    numbers: Mapping[str, Mapping[str, Interval]]
    contests: tuple[Contest, ...]
    groups: int
    permutation: Mapping[str, float]
    facts: Mapping[str, Any]
    draws: int
    seed: int
    truth: str = "truth"
    headline: str = ""
    left_out: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    # The page imports this file; the page is imported late so that numbers alone cost no plotting library.
    def json(self) -> dict[str, Any]:
        """The report as the dictionary that `report.json` holds."""
        from potency.evaluation import report

        return report.as_json(self)

    def markdown(self) -> str:
        """The report as Markdown text, figures and words only."""
        from potency.evaluation import report

        return report.as_markdown(self)

    def write(self, folder: Path | str) -> Path:
        """Write `report.html`, `report.json`, `numbers.csv` and `rows.parquet` into `folder`; the page's path."""
        from potency.evaluation import report

        return report.write(self, Path(folder))
