"""Damaged files of every reader are read or refused: no other exception, no crash, no hang, no memory used up."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("resource", reason="this system limits no process")

from damage import damage_folder, damaged, headers
from example_images import EXAMPLES
from fuzz import NAMES, fuzz, outcome_of

EACH = 150  # of a reader; `python tests/fuzz.py --each 3000` reads many more


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_read_or_refused_and_nothing_else(name: str) -> None:
    tally = fuzz(name, range(EACH))
    assert not tally.findings, "\n".join(f"{name} --only {one['number']}: {one['why']}" for one in tally.findings)
    assert tally.outcomes["read"] + tally.outcomes["refused"] == EACH
    assert tally.outcomes["read"] > EACH / 20 and tally.outcomes["refused"] > EACH / 20, "damage of both kinds"


TROUBLES = {
    "crash -11": "os.kill(os.getpid(), signal.SIGSEGV)",
    "hang": "while True: pass",
    "memory": "fill()",
    "mute": "raise fuzz.ImageError('what', 'where')",
    "exception": "raise ValueError('no ImageError')",
}
BAD = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import fuzz
real, fuzz.SECONDS = fuzz.open_image, 0.5
def fill():
    try:
        bytearray(3 * 2**30)
    except MemoryError as error:
        raise fuzz.ImageError("what", "where", "mend") from error
def open_image(path):
    if path.name.startswith("damaged") and (path.parent / "at").read_text() == "000000003":
        {trouble}
    return real(path)
fuzz.open_image = open_image
fuzz.main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only here the memory of a process is known")
@pytest.mark.parametrize("told", TROUBLES)
def test_what_should_never_be_is_found(told: str, tmp_path: Path) -> None:
    """The runner itself: a reader that misbehaves on one of its files is found out, and the others are still read."""
    (tmp_path / "bad.py").write_text(BAD.format(tests=str(Path(__file__).parent), trouble=TROUBLES[told]))
    tally = fuzz("npy", range(6), script=str(tmp_path / "bad.py"))
    assert [(one["number"], one["outcome"]) for one in tally.findings] == [(3, told)]
    assert tally.outcomes.total() == 6 and tally.outcomes[told] == 1


def test_damage_is_the_same_again_and_never_none(tmp_path: Path) -> None:
    EXAMPLES["tiff"][0](tmp_path / "a.tif")
    data = (tmp_path / "a.tif").read_bytes()
    made = [damaged(data, headers(data), np.random.default_rng(seed)) for seed in range(40)]
    assert made == [damaged(data, headers(data), np.random.default_rng(seed)) for seed in range(40)]
    assert sum(one != data for one in made) > 35


def test_a_damaged_folder_is_mended_again(tmp_path: Path) -> None:
    EXAMPLES["zarr"][0](tmp_path / "a.zarr")
    before = {path: path.read_bytes() for path in (tmp_path / "a.zarr").rglob("*") if path.is_file()}
    outcomes = set()
    for seed in range(30):
        mend = damage_folder(tmp_path / "a.zarr", np.random.default_rng(seed))
        outcomes.add(outcome_of(tmp_path / "a.zarr")["outcome"])
        mend()
        assert {path: path.read_bytes() for path in (tmp_path / "a.zarr").rglob("*") if path.is_file()} == before
    assert outcomes == {"read", "refused"}
