"""What `check --images` adds: every image judged, said in a table, and written with a page where --into asks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from potency.cli.progress import Progress
from potency.cli.rows import grid

if TYPE_CHECKING:
    import pandas as pd

    from potency.data.manifest import Manifest
    from potency.measurement.quality.flatfield import Light


def judged(manifest: Manifest, into: Path | None, by: str, say: Console) -> dict[str, Any]:
    """Judge the images, say what was found, write it into a folder where one is given; the same for machines."""
    from potency.measurement.quality.page import numbers
    from potency.measurement.quality.quality import flagged, lights, quality

    with Progress() as progress:
        made = quality(manifest, by=by, progress=progress.of("judging images"))
    light = lights(manifest)
    flags = {word: {"images": len(rows), "share": len(rows) / len(made)} for word, rows in flagged(made).items()}
    clear = int(made.table["quality.flags"].eq("").sum())
    facts: dict[str, Any] = {"images": len(made), "without_flag": clear, "flags": flags, "measures": numbers(made)}
    facts["unevenness"] = {name: each.unevenness for name, each in light.items()}
    shown = {word: {"images": cells["images"], "share": f"{cells['share']:.1%}"} for word, cells in flags.items()}
    if shown:
        grid("flag", shown, say)
    say.print(f"{clear} of {len(made)} images carry no flag")
    for name, each in light.items():
        what = f"light of {escape(name)}: {each.unevenness:.0%} from the darkest to the brightest place"
        say.print(f"{what}, learned from {len(each.brightness)} images")
    curves = _grown(made, say)
    if curves is not None:
        facts["growth"] = curves.to_dict("records")
    if into is not None:
        facts["written"] = _write(made, light, curves, into)
        say.print("written: " + ", ".join(map(str, facts["written"])), soft_wrap=True)
    return facts


def _grown(made: Manifest, say: Console) -> pd.DataFrame | None:
    """Growth of each well, where rows have a time and several of them one well; else None."""
    from potency.errors import ManifestError
    from potency.measurement.quality.growth import FEWEST, followed, growth

    columns = map(str, made.table.columns)
    names = [name for name in columns if name.startswith("quality.") and name.endswith("confluence")]
    if "time" not in made.table.columns or not names:
        return None
    if made.table.groupby(followed(made.table)).size().max() < FEWEST:
        return None
    channel = names[0].removeprefix("quality.").removesuffix("confluence").rstrip(".")
    try:
        curves = growth(made, channel=channel)
    except ManifestError as error:
        say.print(f"no growth: {escape(error.what)}", style="dim")
        return None
    rates = curves["rate"].dropna()
    if len(rates):
        say.print(f"growth: {len(rates)} of {len(curves)} curves, median rate {rates.median():.3g} a unit of time")
    return curves


def _write(made: Manifest, light: dict[str, Light], curves: pd.DataFrame | None, into: Path) -> list[Path]:
    from potency.measurement.quality.page import page

    into.mkdir(parents=True, exist_ok=True)
    written = [made.write(into / "quality.parquet"), made.write(into / "quality.csv")]
    if curves is not None:
        written.append(into / "growth.csv")
        curves.to_csv(written[-1], index=False)
    for number, (channel, each) in enumerate(light.items()):
        name = f"light-{number}-{re.sub('[^A-Za-z0-9_-]+', '_', channel)}.tif"
        written.append(each.write(into / (name if len(light) > 1 else "light.tif")))
    written.append(into / "quality.html")
    written[-1].write_text(page(made, light, curves), encoding="utf-8")
    return written
