"""Maps of networks that see no further than their halo: of images of any size, and of small objects seen larger."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from potency.data.tiles import BESIDE, cover

SIDE = 1280  # px a side that a network sees at once: what it holds in memory grows with their square

Maps = NDArray[np.float32]
Run = Callable[[Maps], Mapping[str, Maps]]


def in_pieces(run: Run, crops: Maps, reach: int, stride: int, larger: int = 1) -> dict[str, Maps]:
    """What `run` says of crops (N, C, H, W), of any height and width: maps (N, K, H, W), the same as of the whole.

    Args:
        reach: px around a pixel beyond which nothing changes its maps.
        stride: of the coarsest map; H and W divide by it.
        larger: 2 shows the crops at twice their size; maps are means of the 2 x 2 px that are one.
    """
    shape = crops.shape[2:]
    margin = -(-(-(-reach // larger) + (BESIDE if larger > 1 else 0)) // stride) * stride
    found: dict[str, Maps] = {}
    for tile in cover((shape[0], shape[1]), max(SIDE // larger, 4 * margin), margin):
        window = tile.window((shape[0], shape[1]))
        piece = crops[:, :, window["Y"], window["X"]]
        told = run(piece if larger == 1 else enlarged(piece, larger))
        top, left = tile.y - window["Y"].start, tile.x - window["X"].start
        for name, values in told.items():
            maps = values if larger == 1 else shrunk(values, larger)
            if (tile.height, tile.width) == shape:  # one piece
                found[name] = maps
                continue
            if name not in found:
                found[name] = np.empty((*maps.shape[:2], *shape), np.float32)
            own = maps[:, :, top : top + tile.height, left : left + tile.width]
            found[name][:, :, tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] = own
    return found


def enlarged(crops: Maps, times: int) -> Maps:
    """Crops (N, C, H, W) with cubic pixels between the old.

    >>> enlarged(np.ones((1, 2, 3, 4), np.float32), 2).shape
    (1, 2, 6, 8)
    """
    count, channels, high, wide = crops.shape
    made = np.empty((count, channels, times * high, times * wide), np.float32)
    for i, j in np.ndindex(count, channels):
        made[i, j] = cv2.resize(
            np.ascontiguousarray(crops[i, j]), (times * wide, times * high), interpolation=cv2.INTER_CUBIC
        )
    return made


def shrunk(maps: Maps, times: int) -> Maps:
    """The mean of each square of `times` x `times` pixels of (N, K, H, W).

    >>> shrunk(np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2), 2).item()
    1.5
    """
    parts = [maps[:, :, y::times, x::times] for y in range(times) for x in range(times)]
    return np.asarray(np.add.reduce(parts) / np.float32(times * times), np.float32)
