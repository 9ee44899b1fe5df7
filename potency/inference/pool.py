"""Mappers for `on=`: what each must do, and a pool of processes that survives killed workers."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.reduction import ForkingPickler
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from potency.errors import PotencyError

logger = logging.getLogger(__name__)

DEEPEST = 70  # bytes of the folder of temporary files: an address has 107 at most, of which Python takes up to 33
IMPORTED = ("torch", "scipy.stats")  # the slowest of what workers need, and it starts no threads: forks stay safe

T = TypeVar("T")
R = TypeVar("R")


class Mapper(Protocol):
    """What `on=` must do: call `function` on every item somewhere, and yield the results in the order of the items.

    The builtin `map` is one; so are `Pool`, `cluster.Cluster` around a `dask.distributed.Client` (which `on=` takes as
    it is too), and `concurrent.futures.Executor.map` of threads.
    `function` can be pickled by its module path, and carries what it needs (a bundle travels as the path of its
    folder and is loaded once a process). Items may be drawn lazily; a mapper should not run far ahead of what is
    consumed. An item that cannot be worked on because its worker dies again and again may be answered with `Lost`.
    """

    def __call__(self, function: Callable[[T], R], items: Iterable[T], /) -> Iterable[R | Lost]: ...


@dataclass(frozen=True)
class Lost:
    """In place of a result: the worker died twice with this item in hand."""

    reason: str


@dataclass
class Pool:
    """A mapper over processes: results in order, few items in flight, and a killed worker loses nothing.

    When a worker dies (out of memory, `kill -9`) all processes are replaced and every unfinished item is worked on
    again, alone, so that the one to blame is known: dying with it a second time answers that item with `Lost`, and
    the rest goes on. Use it in a ``with`` block, so that no process outlives it.

    Args:
        workers: number of processes; 0 means one a core.
        threads: threads a process.
        ahead: items handed out for each worker before the first result is asked for.

    >>> with Pool(1) as on:  # doctest: +SKIP
    ...     predictions = predict(manifest, bundle, into=Path("out"), on=on)
    """

    workers: int = 0
    threads: int = 1
    ahead: int = 2
    _executor: ProcessPoolExecutor | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.workers < 0 or self.threads < 1 or self.ahead < 1:
            raise PotencyError(
                f"a pool of {self.workers} workers with {self.threads} threads is impossible",
                "workers, threads",
                "give a positive number of workers, or 0 for one a core",
            )
        self.workers = self.workers or _cores()

    def __call__(self, function: Callable[[T], R], items: Iterable[T], /) -> Iterator[R | Lost]:
        source, entries = iter(items), deque[_Entry[T, R]]()
        try:
            while True:
                self._hand_out(function, source, entries)
                if not entries:
                    return
                if entries[0].future is None:
                    result = self._alone(function, entries[0].item)
                else:
                    try:
                        result = entries[0].future.result()
                    except BrokenProcessPool:
                        self._suspect(entries)
                        continue
                entries.popleft()
                yield result
        finally:  # also when whoever consumes the results stops early
            for entry in entries:
                if entry.future is not None:
                    entry.future.cancel()

    def _hand_out(self, function: Callable[[T], R], source: Iterator[T], entries: deque[_Entry[T, R]]) -> None:
        """Keep the workers busy, but start nothing new beside an item under suspicion."""
        while len(entries) < self.workers * self.ahead and all(entry.future is not None for entry in entries):
            try:
                entry = _Entry[T, R](next(source))
            except StopIteration:
                return
            entries.append(entry)
            with contextlib.suppress(BrokenProcessPool):  # broken since the last result: not handed out, run later
                entry.future = self._submit(function, entry.item)

    def _suspect(self, entries: deque[_Entry[T, R]]) -> None:
        for entry in entries:
            future = entry.future
            if future is None or not future.done() or isinstance(future.exception(), BrokenProcessPool):
                entry.future = None
        logger.warning("a worker process died; %d items are worked on again", sum(e.future is None for e in entries))
        self.close()

    def _alone(self, function: Callable[[T], R], item: T) -> R | Lost:
        try:
            return self._submit(function, item).result()
        except BrokenProcessPool:
            self.close()
            return Lost("its worker process died twice with it in hand (killed, or out of memory)")

    def _submit(self, function: Callable[[T], R], item: T) -> Future[R]:
        # Packed here, not in the executor's own thread: there what cannot be packed leaves it waiting for ever.
        packed = bytes(ForkingPickler.dumps((function, item)))
        return self._started().submit(unpacked, packed)

    def _started(self) -> ProcessPoolExecutor:
        if self._executor is None:
            self._executor = _start(self.workers, self.threads)
        return self._executor

    def close(self) -> None:
        """End the processes; the next use starts new ones."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass
class _Entry(Generic[T, R]):
    """An item and where its result will come from; no future: it was in hand when a worker died."""

    item: T
    future: Future[R] | None = None


def unpacked(packed: bytes) -> Any:
    """What a worker does: unpack a function with its item, and call it."""
    function, item = ForkingPickler.loads(packed)
    return function(item)


def _start(workers: int, threads: int) -> ProcessPoolExecutor:
    for _ in range(2):  # once more, in case one was killed just while starting
        executor = ProcessPoolExecutor(workers, _context(threads), _prepare, (dict(os.environ) | _quiet(threads),))
        with _STARTING, _environment(_quiet(threads)):
            # One small task for each worker starts them all now, inside this environment.
            ready = [executor.submit(os.getpid) for _ in range(workers)]
        try:
            for future in ready:
                future.result()
            return executor
        except BrokenProcessPool:
            executor.shutdown()
    raise PotencyError(
        "the worker processes end as soon as they start",
        f"a pool of {workers}",
        'in a script, put the call under `if __name__ == "__main__":`; or use on=map, which needs no processes',
    )


def _context(threads: int) -> BaseContext:
    """How workers begin: as copies of one process that has imported what is slow, where the system can; else anew.

    That saves 2 s of a core for each worker, and the memory of what they share. The number of threads is settled by
    what was imported first, so that only workers of one thread can be copies.
    """
    # Elsewhere what the system itself has imported may not be forked; where temporary files lie deep, the address of
    # the process that is copied, which is a file there, would be longer than an address may be.
    if threads > 1 or sys.platform != "linux" or len(os.fsencode(tempfile.gettempdir())) > DEEPEST:
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    return context


def _prepare(environment: Mapping[str, str]) -> None:
    """In each worker: the parent's environment of now; leave Ctrl-C to the parent, and never outlive it."""
    gc.set_threshold(50_000, 50, 50)  # as the command line
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


_STARTING = threading.Lock()  # the environment belongs to the whole process


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _quiet(threads: int) -> dict[str, str]:
    # Must stand before torch is imported: spinning threads cost 25 times on a busy machine, and N workers
    # of N threads each fight for the same cores.
    limits = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    return {**dict.fromkeys(limits, str(threads)), "OMP_WAIT_POLICY": "PASSIVE"}


def _cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 61)  # Windows waits for no more processes than that
