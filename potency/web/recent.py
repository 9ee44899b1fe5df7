"""Remembers for a second what was looked up in the store, so that a hundred requests a second ask it once."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from potency.web.store import Store

T = TypeVar("T")
SECONDS = 1.0  # what another process changed (an account, by `potency serve --add`) is seen after that
MOST = 10_000


class Recent:
    """What was found within the last second; forgotten at once when this process writes anything to the store.

    An application has one: who looks something up begins the key with what it is ("session", "folder").
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._found: OrderedDict[Hashable, tuple[int, float, Any]] = OrderedDict()

    def held(self, key: Hashable) -> Any:
        """What is known of `key`, or None."""
        written, until, value = self._found.get(key, (-1, 0.0, None))
        return value if written == self.store.written and time.monotonic() < until else None

    def hold(self, key: Hashable, find: Callable[[], T]) -> T:
        """Look `key` up, unless it is known; None is never remembered."""
        if (known := self.held(key)) is not None:
            found: T = known
            return found
        written = self.store.written
        found = find()
        if found is not None:
            self._found[key] = (written, time.monotonic() + SECONDS, found)
            while len(self._found) > MOST:
                self._found.popitem(last=False)
        return found

    async def look(self, key: Hashable, find: Callable[[], T]) -> T:
        """The same from the loop of the server: what takes the store's time takes a thread's."""
        if (known := self.held(key)) is not None:
            found: T = known
            return found
        return await asyncio.to_thread(self.hold, key, find)
