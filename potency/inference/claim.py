"""One folder, one process at a time: an output folder is held while it is written, and free when its holder ends."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from potency.errors import PotencyError

MARK = ".lock"
PATIENCE = 5.0  # seconds: workers of a run that was just killed need a moment to notice
# Written beside its place and then moved there: only what is ours, for the folder may hold anything else too.
HALF_WRITTEN = (
    ".bundle.part*", ".state.safetensors.part*", ".predictions.*part*", ".run.json.part*", "*/.*.part.zarr",
)  # fmt: skip


@contextlib.contextmanager
def claimed(folder: Path | None) -> Iterator[None]:
    """Hold `folder` (made where missing; None: nothing to hold), and remove what a killed holder left half-written.

    The lock is the operating system's, so it ends with its process, killed or not.

    Raises:
        PotencyError: another process holds the folder, or it cannot be written.
    """
    if folder is None:
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(folder / MARK, timeout=PATIENCE))
            for left in [path for pattern in HALF_WRITTEN for path in folder.glob(pattern)]:
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
        except Timeout:
            raise PotencyError(
                "another process is writing into this folder",
                str(folder),
                "wait until it ends, or choose another --into",
            ) from None
        except OSError as error:
            raise PotencyError(
                f"the folder cannot be written: {error.strerror or error}",
                str(folder),
                "choose a place that you may write to and that has room: --into",
            ) from error
        yield
