"""Masks that are being corrected stay in memory, one hand at a time on each, so that a stroke costs what it touches."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from weakref import WeakValueDictionary

from potency.web.correcting.strokes import Labels

KEPT = 384 * 2**20  # bytes of masks that are kept in all; the one that was used last stays whatever its size

Key = tuple[str, str]  # folder of the corrections, and id of the image
_HELD: OrderedDict[Key, Held] = OrderedDict()
_GUARD = threading.Lock()


@dataclass(eq=False)
class Held:
    """A mask in memory, as it was at a revision; `begun` is the file that its changes began from."""

    labels: Labels
    revision: int
    begun: str


class _Turn:
    """Who has a mask in hand; others wait."""

    def __init__(self) -> None:
        self.lock = threading.RLock()


_TURNS: WeakValueDictionary[Key, _Turn] = WeakValueDictionary()


@contextlib.contextmanager
def in_hand(key: Key, load: Callable[[Held | None], Held]) -> Iterator[Held]:
    """A mask for one at a time: `load` is given what is in memory, or None, and gives what is right now.

    Where the block ends in an error the mask may be half changed, and is read again by the next.
    """
    with _GUARD:
        turn = _TURNS.get(key)
        if turn is None:
            turn = _TURNS[key] = _Turn()
    with turn.lock:
        with _GUARD:
            known = _HELD.pop(key, None)
        held = load(known)
        yield held
        with _GUARD:
            _HELD[key] = held
            while len(_HELD) > 1 and sum(one.labels.nbytes for one in _HELD.values()) > KEPT:
                _HELD.popitem(last=False)


def forget(place: str) -> None:
    """Let go of the masks of a folder, which is deleted."""
    with _GUARD:
        for key in [key for key in _HELD if key[0] == place]:
            del _HELD[key]
