"""Answers at once, in the server itself: models kept ready, and images that wait go through a network together."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from potency.errors import PotencyError
from potency.web.faults import Refused
from potency.web.shelf import version_of
from potency.web.store import Store

if TYPE_CHECKING:
    from potency.inference.immediate import Immediate, Said

KEPT = 4  # models that are kept ready
TOGETHER = 8  # waiting images that are answered together: two cost hardly more than one
FOLDER = "instant"  # of what is being answered
OLD = 3600.0  # seconds after which what lies there is of a server that was killed
NOTED = 5.0  # seconds after which answers are written into the log, one line a person and model
PIECE = 2**20
THREADS = max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@dataclass
class _Asked:
    """One image on its way."""

    name: str
    stream: IO[bytes]
    answer: Future[Said] = field(default_factory=Future)


@dataclass
class _Line:
    """A model made ready, and the images that wait for it."""

    model: Immediate
    version: str
    waiting: deque[_Asked] = field(default_factory=deque)
    busy: threading.Lock = field(default_factory=threading.Lock)


class Instant:
    """What `/predict.json` asks; pages may ask it too. torch is imported with the first model, never before.

    Memory is bounded: so many models are kept (the one that was not used for longest goes), so many requests may be
    here at once, and what they bring lies on the disk where it is larger than a megabyte.
    """

    def __init__(self, store: Store, waiting: int = 64, threads: int = THREADS) -> None:
        self.store, self.most, self.here = store, waiting, 0
        self.place = store.folder / FOLDER
        self.place.mkdir(exist_ok=True)
        for left in self.place.iterdir():
            with suppress(OSError):
                if time.time() - left.stat().st_mtime > OLD:
                    left.unlink()
        self._threads = ThreadPoolExecutor(threads, "instant")
        self._loading = ThreadPoolExecutor(1, "instant-load")  # one at a time: loading takes memory, not only time
        self._lines: OrderedDict[tuple[str, float], Future[_Line]] = OrderedDict()
        self._lock = threading.Lock()
        self._noted: dict[tuple[Any, ...], int] = {}
        self._timer: threading.Timer | None = None

    @contextmanager
    def room(self) -> Iterator[None]:
        """A place for one request, taken before its body is read.

        Raises:
            Refused: 503, with the seconds after which to come again: too many are here.
        """
        if self.here >= self.most:
            raise Refused(503, f"{self.here} requests are being answered", "this page",
                          "come again in a second, or ask for a job", {"retry-after": "1"})  # fmt: skip
        self.here += 1
        try:
            yield
        finally:
            self.here -= 1

    def ready(self, folder: Path) -> Future[_Line]:
        """The model of a folder, as it lies there now; loaded and compiled in a thread where it is not ready."""
        key = (str(folder), (folder / "card.json").stat().st_mtime)
        with self._lock:
            line = self._lines.get(key)
            if line is None or (line.done() and (line.cancelled() or line.exception())):  # what failed is tried anew
                line = self._lines[key] = self._loading.submit(_loaded, folder)
            self._lines.move_to_end(key)
            while len(self._lines) > KEPT:
                self._lines.popitem(last=False)
        return line

    async def answers(self, folder: Path, files: Sequence[tuple[str, IO[bytes]]]) -> list[Said]:
        """What the model of a folder says of files, in their order; a file that fails has its error.

        Args:
            folder: of a bundle.
            files: names, and streams of what they hold.

        Raises:
            PotencyError: the bundle cannot be loaded, or its answers lie in files.
        """
        line = await asyncio.shield(asyncio.wrap_future(self.ready(folder)))  # others wait for it too
        asked = [_Asked(name, stream) for name, stream in files]
        for one in asked:
            line.waiting.append(one)
            self._threads.submit(self._serve, line)
        return await asyncio.gather(*(asyncio.wrap_future(one.answer) for one in asked))

    def _serve(self, line: _Line) -> None:
        """Answer what waits for a model, one batch after the other.

        One thread at a time: it has all cores, and what comes meanwhile is the next batch. An image alone costs as much
        as two (see `compiled`), and eight cost four times as much as one.
        """
        while line.waiting:  # asked after the lock is free: who came while it was not has gone away
            if not line.busy.acquire(blocking=False):
                return
            try:
                self._turn(line)
            finally:
                line.busy.release()

    def _turn(self, line: _Line) -> None:
        """Answer some of what waits."""
        taken: list[_Asked] = []
        while len(taken) < TOGETHER and line.waiting:
            try:
                one = line.waiting.popleft()
            except IndexError:
                break
            if one.answer.set_running_or_notify_cancel():  # else nobody waits for it any more
                taken.append(one)
        try:
            for one, said in zip(taken, self._said(line.model, taken) if taken else (), strict=True):
                one.answer.set_result(said)
        except BaseException as fault:
            for one in taken:
                if not one.answer.done():
                    one.answer.set_exception(fault)

    def _said(self, model: Immediate, taken: Sequence[_Asked]) -> list[Said]:
        """What a model says of images, for which they lie on the disk for a moment: readers take files."""
        paths = [self.place / f"{secrets.token_hex(8)}{_suffix(one.name)}" for one in taken]
        try:
            for one, path in zip(taken, paths, strict=True):
                one.stream.seek(0)
                with path.open("wb") as file:
                    shutil.copyfileobj(one.stream, file, PIECE)
            return [
                replace(said, error=said.error and _named(said.error, path, one.name))
                for one, path, said in zip(taken, paths, model(paths), strict=True)
            ]
        finally:
            for path in paths:
                path.unlink(missing_ok=True)

    def note(self, person: Mapping[str, Any], model: str, address: str, images: int) -> None:
        """Count answers for the log: one line for all of a person and a model within some seconds."""
        key = (person["id"], person["name"], model, address)
        with self._lock:
            first = not self._noted
            self._noted[key] = self._noted.get(key, 0) + images
            if first:
                self._timer = threading.Timer(NOTED, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Write what was counted into the log."""
        with self._lock:
            noted, self._noted = self._noted, {}
        for (id, name, model, address), images in noted.items():
            self.store.audit({"id": id, "name": name}, "predict", f"{images} images", model, address)

    def close(self) -> None:
        """Let what is under way end, and write the log."""
        self._loading.shutdown(wait=False, cancel_futures=True)
        self._threads.shutdown(cancel_futures=True)
        if self._timer is not None:
            self._timer.cancel()
        self.flush()


def _loaded(folder: Path) -> _Line:
    from potency.bundle import Bundle
    from potency.inference.immediate import Immediate, exercised

    model = Immediate(Bundle.load(folder))
    exercised(model)
    return _Line(model, version_of(folder))


def _suffix(name: str) -> str:
    from potency.data.readers import SUFFIXES

    return next((end for end in SUFFIXES if name.lower().endswith(end)), "")


def _named(error: PotencyError, path: Path, name: str) -> PotencyError:
    """The error with the name that the sender knows, not the place where the file lay here."""
    made = type(error).__new__(type(error))
    PotencyError.__init__(made, error.what, error.where.replace(str(path), name) or name, error.mend)
    return made
