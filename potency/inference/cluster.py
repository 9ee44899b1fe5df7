"""Work on a Dask cluster: results in order, few items in flight, a killed worker loses nothing, one software."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from potency.errors import MissingExtra, PotencyError
from potency.inference.origin import VERSIONS
from potency.inference.pool import Lost, Mapper, unpacked

if TYPE_CHECKING:
    from dask.distributed import Client, Future

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")
LOOK_EVERY = 5.0  # seconds between two looks at which workers there are
START = 'one machine: `dask scheduler` and `dask worker tcp://HOST:8786`, each with potency and its extra "cluster"'


def mapper(on: Mapper | Client) -> Mapper:
    """What `on=` may be, as a mapper: a mapper itself, or a `dask.distributed.Client`.

    >>> mapper(map) is map
    True
    """
    distributed = sys.modules.get("distributed")  # whoever holds a client has imported it
    if distributed is not None and isinstance(on, distributed.Client):
        return Cluster(on)
    if not callable(on):
        raise PotencyError(
            f"work cannot be done on {type(on).__name__!r}", "on=", "give map, a Pool, or a dask.distributed.Client"
        )
    return on


@contextlib.contextmanager
def connected(address: str, timeout: float = 30.0) -> Iterator[Cluster]:
    """A mapper over the Dask cluster whose scheduler listens at `address` ("tcp://host:8786", or its scheduler file).

    Raises:
        MissingExtra: dask is not installed. PotencyError: nobody answers there, or other versions do.
    """
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise MissingExtra("dask.distributed", "cluster") from error
    known = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # versions are compared below, in words that say how to mend them
            client = Client(**known, timeout=timeout, set_as_default=False)
    except (OSError, ValueError, ImportError, TypeError) as fault:
        reason = (str(fault).strip() or type(fault).__name__).splitlines()[0]
        raise PotencyError(f"the scheduler cannot be reached: {reason}", address, START) from fault
    with client:
        yield Cluster(client)


@dataclass
class Cluster:
    """A mapper over the workers of a Dask cluster, which must see the same files under the same paths.

    A worker that dies (`kill -9`, out of memory, a lost machine) loses nothing: Dask gives what it had in hand to
    another. An item whose worker dies again and again (`distributed.scheduler.allowed-failures`) is answered with
    `Lost`, and the rest goes on.

    Args:
        client: connected to the scheduler.
        ahead: items handed out for each thread of the workers before the first result is asked for.
        patience: seconds without any worker after which it is given up.
    """

    client: Client
    ahead: int = 2
    patience: float = 120.0
    _known: set[str] = field(default_factory=set, init=False, repr=False)
    _seen: float = field(default=0.0, init=False, repr=False)

    def __call__(self, function: Callable[[T], R], items: Iterable[T], /) -> Iterator[R | Lost]:
        self._seen = time.monotonic()
        source, entries, room, looked = iter(items), deque[_Entry](), self._room(wait=True), time.monotonic()
        try:
            while True:
                while len(entries) < room:
                    try:
                        item = next(source)
                    except StopIteration:
                        break
                    # Packed here and not by Dask, so that what cannot travel is an error of this very call.
                    packed = bytes(ForkingPickler.dumps((function, item)))
                    entries.append(_Entry(packed, self._submit(packed)))
                if not entries:
                    return
                result = self._result(entries[0].future)
                if isinstance(result, Lost):
                    result = self._alone(entries)
                entries.popleft().future.release()
                yield result
                if time.monotonic() - looked > LOOK_EVERY:
                    room, looked = max(1, self._room()), time.monotonic()
        finally:  # also when whoever consumes the results stops early
            for entry in entries:
                entry.future.cancel()

    def _submit(self, packed: bytes) -> Future:
        return self.client.submit(unpacked, packed, pure=False)

    def _alone(self, entries: Sequence[_Entry]) -> Any:
        """Once more with nothing of ours beside it: who merely stood beside the one to blame is not lost."""
        first, *others = entries
        for other in others:
            self._settled(other.future)
        first.future = self._submit(first.packed)
        return self._result(first.future)

    def _result(self, future: Future) -> Any:
        from dask.distributed import KilledWorker

        self._settled(future)
        try:
            return future.result()
        except KilledWorker:
            return Lost("its worker died again and again with it in hand (killed, or out of memory)")
        except CancelledError as fault:
            raise self._gone(fault) from fault

    def _settled(self, future: Future) -> None:
        """Wait until there is a result or an error, as long as there are workers to give one."""
        from dask.distributed import wait

        while True:
            try:
                wait([future], timeout=LOOK_EVERY)
                return
            except TimeoutError:
                self._room()
            except CancelledError as fault:
                raise self._gone(fault) from fault

    def _room(self, wait: bool = False) -> int:
        """How many items may be in flight; new workers are looked at, and having none for long is an error."""
        try:
            threads: Mapping[str, int] = self.client.nthreads()
            while wait and not threads and time.monotonic() - self._seen < self.patience:
                time.sleep(0.2)
                threads = self.client.nthreads()
            new = set(threads) - self._known
            if new:
                self._compare(self.client.get_versions(packages=list(VERSIONS)), new)
                self._known |= new
        except (OSError, RuntimeError) as fault:  # a client that lost its scheduler says either
            raise self._gone(fault) from fault
        if threads:
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen >= self.patience:
            raise PotencyError(
                f"the cluster has had no worker for {self.patience:.0f} s",
                self._where(),
                "start some: `dask worker ADDRESS`; the same command goes on where it was",
            )
        return self.ahead * sum(threads.values())

    def _compare(self, found: Mapping[str, Any], new: set[str]) -> None:
        """Rows are the same only where the software is."""
        here = _relevant(found["client"])
        wrong = []
        for address in sorted(new & set(found["workers"])):
            there = _relevant(found["workers"][address])
            wrong += [
                f"{name} {there.get(name)} instead of {version} on {address}"
                for name, version in here.items()
                if there.get(name) != version
            ]
        if wrong:
            more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise PotencyError(
                "workers run other versions than this computer: " + "; ".join(wrong[:3]) + more,
                self._where(),
                'install the same on all of them: pip install "potency[cluster]==VERSION", the same Python and torch',
            )

    def _gone(self, fault: BaseException) -> PotencyError:
        logger.debug("lost: %r", fault)
        return PotencyError(
            "the connection to the scheduler was lost", self._where(), "start it again; the same command goes on"
        )

    def _where(self) -> str:
        return str(self.client.scheduler.address) if self.client.scheduler is not None else "the scheduler"


@dataclass
class _Entry:
    """An item as it travels, and where its result will come from."""

    packed: bytes
    future: Future


def _relevant(side: Mapping[str, Any]) -> dict[str, str]:
    """Versions that must be the same: of Python without its last number, and of what the figures depend on."""
    packages = {**side.get("host", {}), **side.get("packages", {})}
    found = {name: str(packages.get(name)) for name in (*VERSIONS, "distributed")}
    return {"python": ".".join(str(packages.get("python")).split(".")[:2]), **found}
