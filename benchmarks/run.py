"""Run every benchmark beside this file, or those named, and write what they print into RESULTS.md, a section each."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LONG = 300.0  # seconds; what takes longer is run once: its figures are those of a training, not of a clock
LIBRARIES = ("torch", "openvino", "numpy", "pandas", "scikit-learn")


def benchmarks(names: Sequence[str]) -> list[Path]:
    """The files to run: all that stand here but this one, or those named."""
    there = {path.stem: path for path in sorted(HERE.glob("*.py")) if path.name != Path(__file__).name}
    unknown = [name for name in names if name not in there]
    if unknown:
        sys.exit(f"there is no benchmark {unknown[0]!r}\nwhere: {HERE.name}/\nmend: one of {', '.join(there)}")
    return [there[name] for name in names] if names else list(there.values())


def rows_of(path: Path, quick: bool) -> list[dict[str, Any]]:
    """The rows one benchmark prints: the last line of its stdout is a JSON list."""
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    call = [sys.executable, str(path), "--json", *(["--quick"] if quick else [])]
    ran = subprocess.run(call, stdout=subprocess.PIPE, text=True, env=environment, check=False)
    if ran.returncode:
        raise RuntimeError(f"{path.name} ended with {ran.returncode}")
    rows = json.loads(ran.stdout.strip().splitlines()[-1])
    missing = [key for row in rows for key in ("name", "source", "role") if key not in row]
    if missing:
        raise RuntimeError(f"{path.name} prints a row without {missing[0]!r}")
    return list(rows)


def repeated(path: Path, quick: bool, most: int) -> tuple[list[dict[str, Any]], int]:
    """The rows of a benchmark as medians of up to `most` runs, and how many there were."""
    started = time.monotonic()
    runs = [rows_of(path, quick)]
    again = 0 if time.monotonic() - started > LONG else most - 1
    runs += [rows_of(path, quick) for _ in range(again)]
    return medians(runs), len(runs)


def medians(repeats: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """One row from the same row of each repeat: figures become medians, all else is taken from the first."""
    made = []
    for same in zip(*repeats, strict=True):
        numbers = {k for k, v in same[0].items() if isinstance(v, float)}
        made.append({k: statistics.median(row[k] for row in same) if k in numbers else v for k, v in same[0].items()})
    return made


def as_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows as a Markdown table; figures with three significant digits."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = (row.get(column, "") for column in columns)
        lines.append("| " + " | ".join(f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells) + " |")
    return "\n".join(lines)


def processor() -> str:
    """The model of the processor, as the system calls it."""
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in listed.read_text().splitlines() if line.startswith("model name")
        ]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def machine() -> str:
    """What the figures were measured on, in one line."""
    versions = []
    for name in LIBRARIES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"no {name}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = os.environ.get("OMP_NUM_THREADS", "unset")
    where = f"{processor()}, {cores} cores, {platform.system()}, Python {platform.python_version()}"
    return f"{where}; {', '.join(versions)}; OMP_NUM_THREADS {threads}"


def write(name: str, rows: Sequence[Mapping[str, Any]], runs: int) -> None:
    """Put the section of one benchmark into RESULTS.md, in place of its last one; the others keep their own date."""
    there = HERE / "RESULTS.md"
    pieces = there.read_text(encoding="utf-8").split("\n## ")[1:] if there.is_file() else []
    sections = {piece.split("\n", 1)[0]: piece.split("\n", 1)[1].strip() for piece in pieces}
    measured = f"{datetime.now(UTC):%Y-%m-%d}, {'one run' if runs == 1 else f'medians of {runs} runs'}: {machine()}"
    sections[name] = f"{measured}\n\n{as_table(rows)}"
    head = "# Results\n\nWritten by `make bench`; `python benchmarks/run.py NAME` measures one section anew.\n"
    text = head + "".join(f"\n## {name}\n\n{sections[name]}\n" for name in sorted(sections))
    fresh = there.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(there)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="benchmarks to run, without .py (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer repeats, smaller sizes; RESULTS.md is left alone")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each file, of which the median is kept")
    parser.add_argument("--json", action="store_true", help="end with all rows as one line of JSON")
    chosen = parser.parse_args()
    said = sys.stderr if chosen.json else sys.stdout
    every, failed = [], []
    for path in benchmarks(chosen.names):
        started = time.monotonic()
        try:
            rows, runs = repeated(path, chosen.quick, 1 if chosen.quick else chosen.repeats)
        except (RuntimeError, ValueError) as error:
            failed.append(path.stem)
            print(f"{path.stem} FAILED: {error}\n", file=said, flush=True)
            continue
        if not chosen.quick:
            write(path.stem, rows, runs)
        every += [{"benchmark": path.stem, **row} for row in rows]
        print(f"## {path.stem}\n\n{as_table(rows)}\n({time.monotonic() - started:.0f} s)\n", file=said, flush=True)
    if chosen.json:
        print(json.dumps(every))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
