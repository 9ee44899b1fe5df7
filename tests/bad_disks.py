"""Bad disks, one by one: full in the middle of a write, or not to be written to; nothing finished is lost."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bad_case import Case, command, instead
from small_bundle import MIXED, Counting, bundle_of, images

from potency.data.manifest import Manifest
from potency.inference.engine import accelerate
from potency.inference.predict import predict

POSIX = "" if hasattr(os, "fork") else "this system has no limits of processes"


@contextlib.contextmanager
def full(size: int) -> Iterator[None]:
    """A disk on which no file may grow beyond `size` bytes: the system refuses in the middle of a write."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def rows(count: int) -> pd.DataFrame:
    return pd.DataFrame({"image": [f"{n}.png" for n in range(count)], "note": np.random.default_rng(0).random(count)})


def full_table(folder: Path) -> None:
    """The old table stays whole, and nothing half-written beside it."""
    before = Manifest.of_rows(rows(3), folder).write(folder / "t.csv").read_bytes()
    try:
        with full(4096):
            Manifest.of_rows(rows(9000), folder).write(folder / "t.csv")
    finally:
        assert (folder / "t.csv").read_bytes() == before
        assert [path.name for path in folder.iterdir()] == ["t.csv"]


def full_bundle(folder: Path) -> None:
    before = bundle_of().save(folder / "bundle").fingerprint
    try:
        with full(4096):
            bundle_of(tile=24).save(folder / "bundle")
    finally:
        from potency.bundle import Bundle

        assert Bundle.load(folder / "bundle").fingerprint == before
        assert [path.name for path in folder.iterdir()] == ["bundle"]


def full_checkpoint(folder: Path) -> None:
    import torch

    from potency.learning import checkpoint

    checkpoint.write(folder / "state.safetensors", {"w": torch.ones(3)}, {"step": 1})
    try:
        with full(4096):
            checkpoint.write(folder / "state.safetensors", {"w": torch.ones(9000)}, {"step": 2})
    finally:
        assert checkpoint.read(folder / "state.safetensors")[1] == {"step": 1}
        assert [path.name for path in folder.iterdir()] == ["state.safetensors"]


def full_predictions(folder: Path) -> None:
    """Said at once; what was finished stays, and the same call does the rest."""
    given, out = images(folder / "in", [(16, 16)] * 10), folder / "out"
    fast, real, calls = accelerate(bundle_of(), engine="torch"), os.replace, Counting()

    def replace(source: Any, target: Any) -> None:
        calls.handed += 1
        if calls.handed == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    with instead(os, "replace", replace):
        try:
            predict(given, fast, into=out, batch=2)
        finally:
            assert len(list((out / "parts").iterdir())) == 2, "two batches of five are finished, none is half-written"
            calls.handed = 3  # room again
            found = predict(given, fast, into=out, on=(rest := Counting()), batch=2)
            assert rest.handed == 6 and found.table["prediction"].notna().all()


def below_a_file(folder: Path) -> Path:
    """A place that nobody can write to, the superuser neither."""
    (folder / "file").write_text("")
    return folder / "file" / "out"


def nowhere_to_predict(folder: Path) -> None:
    given = images(folder / "in", MIXED[:2])
    try:
        predict(given, bundle_of(), into=below_a_file(folder), on=(counting := Counting()))
    finally:
        assert counting.handed == 0, "work was done whose results could not be kept"


def nowhere_to_split(folder: Path) -> str:
    given = pd.DataFrame({"file": [f"{n}.png" for n in range(8)], "group": [*"aabbccdd"], "truth": [*"xyxyxyxy"]})
    given.to_csv(folder / "t.csv", index=False)
    return command("split", folder / "t.csv", "--into", below_a_file(folder) / "x.csv")


def protected(folder: Path) -> str:
    (folder / "locked").mkdir(mode=0o500)
    return str(Manifest.of_rows(rows(2), folder).write(folder / "locked" / "t.csv"))


SUPERUSER = getattr(os, "geteuid", lambda: 0)() == 0
CASES = [
    Case("disk full mid-write", "a table", full_table, "the table cannot be written: File too large", "with room",
         "t.csv", POSIX),
    Case("disk full mid-write", "a bundle", full_bundle, "the bundle cannot be written: File too large",
         "free some space", "bundle", POSIX),
    Case("disk full mid-write", "a checkpoint of a training", full_checkpoint, "the checkpoint cannot be written",
         "--resume", "state.safetensors", POSIX),
    Case("disk full mid-write", "predictions", full_predictions, "No space left on device", "with room", "out"),
    Case("read-only folder", "predict into a place that cannot be written", nowhere_to_predict,
         "the folder cannot be written", "choose a place that you may write to", "out"),
    Case("read-only folder", "split into a place that cannot be written", nowhere_to_split,
         "nothing can be written here: 'file' is a file, no folder", "choose another --into", "out"),
    Case("read-only folder", "a folder without the right to write", protected,
         "the table cannot be written: Permission denied",
         "choose a folder you may write to, with room", "locked",
         "the superuser may write anywhere" if SUPERUSER else ""),
]  # fmt: skip
