"""What `evaluate --along` shows: prediction columns compared at each level of another column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from rich.console import Console

from potency.cli.rows import grid

if TYPE_CHECKING:
    from potency.cli.show import Evaluate
    from potency.evaluation.along import Level


def levels(rows: Any, columns: Sequence[str], options: Evaluate) -> tuple[Level, ...]:
    """The columns at each level, judged over the groups that --by names."""
    from potency.evaluation.along import along

    if options.by in rows.table:
        rows = replace(rows, table=rows.table.assign(group=rows.table[options.by]))
    return along(rows, options.along, columns, draws=options.draws, seed=options.seed)


def told(found: Sequence[Level], options: Evaluate, say: Console) -> list[dict[str, Any]]:
    """Print the levels and write `along.csv` beside the report; the same as plain data."""
    import pandas as pd

    shown, kept = {}, []
    for level in found:
        cells = {name.rpartition("@")[2]: str(figure) for name, figure in level.figures.items()}
        less = {f"minus {name.rpartition('@')[2]}": str(figure) for name, figure in level.differences.items()}
        shown[level.value] = {"rows": level.rows, "groups": level.groups, **cells, **less}
        for name, figure in level.figures.items():
            apart = level.differences.get(name)
            ends = (None,) * 3 if apart is None else (apart.value, apart.low, apart.high)
            kept.append({
                options.along: level.value, "prediction": name, "metric": level.metric, "rows": level.rows,
                "groups": level.groups, "value": figure.value, "low": figure.low, "high": figure.high,
                **dict(zip(("first_minus_it", "first_minus_it_low", "first_minus_it_high"), ends, strict=True)),
            })  # fmt: skip
    grid(options.along, shown, say)
    pd.DataFrame(kept).to_csv(options.into / "along.csv", index=False, lineterminator="\n")
    return [asdict(level) for level in found]
