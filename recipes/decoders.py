"""Draws what each decoder of instances asks of a network, for docs/decoding.md: python recipes/decoders.py."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from potency.decoding import DECODERS

SIDE = 72


def scene() -> NDArray[np.int32]:
    """Three cells that touch, one of them bent, and a small one by itself."""
    y, x = np.mgrid[:SIDE, :SIDE]
    out = np.zeros((SIDE, SIDE), np.int32)
    bean = (np.hypot(y - 24, x - 24) < 19) & (np.hypot(y - 12, x - 30) > 11)
    for k, mask in enumerate((bean, np.hypot((y - 45) / 1.4, x - 48) < 15, np.hypot(y - 52, (x - 20) / 1.3) < 12), 1):
        out[mask & (out == 0)] = k
    out[np.hypot(y - 14, x - 59) < 6] = 4
    return out


def plain(axes: Axes, plane: NDArray[np.floating], title: str, signed: bool = False) -> None:
    axes.imshow(plane, cmap="RdBu_r" if signed else "magma", vmin=-1 if signed else 0, vmax=1)
    axes.set_title(title, fontsize=8)


def arrows(axes: Axes, labels: NDArray[np.int32], vectors: NDArray[np.floating], scale: float) -> None:
    """Vectors on every fourth pixel; `scale` 1 draws them in pixels."""
    rows, columns = np.nonzero(labels)
    kept = (rows % 4 == 1) & (columns % 4 == 1)
    rows, columns = rows[kept], columns[kept]
    axes.imshow(labels > 0, cmap="Greys", vmax=3)
    y, x = vectors[:, rows, columns]
    axes.quiver(columns, rows, x, y, color="#0b5394", angles="xy", scale_units="xy",
                scale=scale, width=0.006)  # fmt: skip


def draw(into: Path) -> None:
    """The figure, as a PNG."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    labels = scene()
    maps = {name: decoder.encode(labels) for name, decoder in DECODERS.items()}
    figure, panels = plt.subplots(2, 4, figsize=(9, 4.8), dpi=110)
    cells, *axes = panels.ravel()
    cells.imshow(np.where(labels > 0, labels, np.nan), cmap="tab10", vmin=1, vmax=10)
    cells.set_title("the objects", fontsize=8)
    arrows(axes[0], labels, maps["flows"][1:], 0.25)
    axes[0].set_title("flows: the way to the middle", fontsize=8)
    plain(axes[1], maps["distance"][1], "distance: depth, one peak each")
    axes[2].imshow(np.moveaxis(maps["boundary"], 0, -1) @ np.array([[0.2, 0.5, 0.8], [1, 0.8, 0.2], [0.1, 0.1, 0.1]]))
    axes[2].set_title("boundary: three classes", fontsize=8)
    plain(axes[3], maps["hover"][1], "hover: place, left to right", signed=True)
    plain(axes[4], maps["hover"][2], "hover: place, top to bottom", signed=True)
    arrows(axes[5], labels, maps["embedding"][1:3], 1.0)
    axes[5].set_title("embedding: where the middle is", fontsize=8)
    rays, angles = maps["stardist"][1:], 2 * np.pi / 32 * np.arange(32)
    plain(axes[6], maps["stardist"][0], "stardist: middle, 32 rays")
    for k in range(1, 5):
        y, x = np.unravel_index(np.where(labels == k, maps["stardist"][0], 0).argmax(), labels.shape)
        ends_y, ends_x = y + rays[:, y, x] * np.sin(angles), x + rays[:, y, x] * np.cos(angles)
        axes[6].plot(np.c_[np.full(32, x), ends_x].T, np.c_[np.full(32, y), ends_y].T, color="#9fc5e8", linewidth=0.5)
        axes[6].plot(np.r_[ends_x, ends_x[:1]], np.r_[ends_y, ends_y[:1]], color="white", linewidth=1)
    for each in panels.ravel():
        each.set_xticks([])
        each.set_yticks([])
    figure.tight_layout()
    figure.savefig(into)
    plt.close(figure)


if __name__ == "__main__":
    draw(Path(__file__).resolve().parents[1] / "docs" / "images" / "decoders.png")
