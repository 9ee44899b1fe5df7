"""The connections of the web server: who sends the head of a request too slowly, or opens too many, is cut off."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD = 15.0  # seconds for the head of a request, from its first byte, or from the beginning of the connection
STUCK = 120.0  # seconds in which whoever asked takes nothing of the answer


class Line(H11Protocol):
    """One connection with two clocks: one for the head of a request, one for an answer that nobody takes."""

    each, spared = 128, frozenset[str]()
    there: Counter[str] = Counter()
    _address = ""
    _head: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if address and address not in self.spared and not _loopback(address):
            self._address = address
            self.there[address] += 1
            if self.there[address] > self.each:
                transport.abort()
                return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear()
        self._resumed()
        if self._address:
            self.there[self._address] -= 1
            if self.there[self._address] <= 0:
                del self.there[self._address]
        super().connection_lost(exc)

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._clear()
        elif (self.cycle is None or self.cycle.response_complete) and self._head is None:
            self._await_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self._stuck or self.loop.call_later(STUCK, self.transport.abort)

    def resume_writing(self) -> None:
        self._resumed()
        super().resume_writing()

    def _await_head(self) -> None:
        self._head = self.loop.call_later(HEAD, self._late)

    def _late(self) -> None:
        self._head = None
        if not self.transport.is_closing():
            self.transport.abort()

    def _clear(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _resumed(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None


def line(each: int, spared: tuple[str, ...] = ()) -> type[Line]:
    """The connections of one server, so many of each address; loopback and proxies speak for many and are spared."""
    return type("Line", (Line,), {"each": each, "spared": frozenset(spared), "there": Counter()})


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def limits(most: int) -> dict[str, Any]:
    """What uvicorn itself is told: how many connections, how long one may be idle, how large a head may be."""
    return {"limit_concurrency": most, "timeout_keep_alive": int(HEAD), "h11_max_incomplete_event_size": 64 * 1024,
            "server_header": False, "date_header": True}  # fmt: skip
