"""Where columns come from: engine, device, precision, versions and what was chosen, as run.json beside them."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from potency.data.whole import replaced
from potency.errors import PotencyError

if TYPE_CHECKING:
    from potency.bundle import Bundle, Member, NetworkMember

ENGINE = "engine"  # column of the parts: what computed a row
FILE = "run.json"
VERSIONS = ("potency", "torch", "timm", "openvino", "scikit-learn", "numpy", "pandas")


def versions() -> dict[str, str]:
    """Versions of what the figures depend on."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for name in VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def engines_of(column: pd.Series) -> dict[str, int]:
    """How many rows each engine computed, most first.

    >>> engines_of(pd.Series(["openvino on cpu in bfloat16", None, "openvino on cpu in bfloat16"]))
    {'openvino on cpu in bfloat16': 2}
    """
    return {str(engine): int(rows) for engine, rows in column.dropna().value_counts().items()}


def runs_of(bundle: Bundle) -> list[Any]:
    """The engines of all networks in a bundle, those inside an estimator too."""
    return [run for member in bundle.members for run in _runs(member) if hasattr(run, "facts")]


def described(bundle: Bundle) -> str:
    """What a bundle computes with, member by member, in words that a report can print."""
    said = []
    for member in bundle.members:
        runs = [str(run) if hasattr(run, "facts") else "torch on cpu in float32" for run in _runs(member)]
        own = [] if hasattr(member, "run") else [f"{member.learner} {member.plan.network}"]
        said.append(" over ".join([*own, *dict.fromkeys(runs)]))
    return " + ".join(dict.fromkeys(said))


def _runs(member: Member) -> list[Any]:
    found: list[Any] = []

    def look(network: NetworkMember) -> NetworkMember:
        found.append(network.run)
        return network

    member.with_networks(look)
    return found


def write_origin(
    folder: Path, name: str, bundle: Bundle, precision: str, engines: Mapping[str, int], errors: int
) -> None:
    """Write what a column of predictions was computed with into `folder`/run.json (see `keep`)."""
    checks = [run.facts for run in runs_of(bundle)]
    keep(folder, name, bundle, {"precision": precision, "engines": dict(engines), "checks": checks, "errors": errors})


def kept(folder: Path, name: str) -> dict[str, Any]:
    """What run.json in `folder` tells of a column; {} where it tells nothing."""
    told = _told(folder).get(name)
    return told if isinstance(told, dict) else {}


def keep(folder: Path, name: str, bundle: Bundle, facts: Mapping[str, Any]) -> None:
    """Write what is to be known of a column into `folder`/run.json, beside what stands there of other columns.

    Raises:
        PotencyError: the file cannot be written.
    """
    whose = {"bundle": bundle.fingerprint, "folder": str(bundle.folder or "")}
    told = _told(folder) | {name: {**whose, **facts, "versions": versions()}}
    path = folder / FILE
    try:
        replaced(path, json.dumps(told, indent=1))
    except OSError as error:
        raise PotencyError(
            f"{FILE} cannot be written: {error.strerror or error}",
            str(folder),
            "free some space; the same call goes on",
        ) from error


def _told(folder: Path) -> dict[str, Any]:
    try:
        told = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or cut short by a full disk: what it told is told anew
        return {}
    return told if isinstance(told, dict) else {}
