"""Patches without a cell: told from the rest by their texture, or by what a network sees, with a map to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from potency.measurement.quality.ground import otsu
from potency.measurement.quality.page import Picture
from potency.systems.arms import Answered, Problem, judge
from potency.systems.figures import cloud

if TYPE_CHECKING:
    from potency.data.manifest import Manifest
    from potency.systems.comparison import Scene
    from potency.systems.recipe import Order

SEES = "example:cell-cycle"  # the network in the package that learned from real cells without a label
AXES, MAPPED = 10, 600  # principal axes of what it sees; patches on the map
BATCH = 64
NEAR = 0.05  # of a patch covered by cells: less is neither empty nor surely a cell


@dataclass(frozen=True)
class Emptiness:
    """Which of (N,) patches hold nothing by their texture, which by what a network `seen` in them (N, F) parts."""

    empty: NDArray[np.bool_]
    parted: NDArray[np.bool_]
    seen: NDArray[np.float64]


def grid(side: int) -> Any:
    """A function that cuts an image into squares of `side` px, as `Manifest.explode` wants it; a rest at the rim goes.

    >>> from types import SimpleNamespace
    >>> grid(64)(SimpleNamespace(sizes={"Y": 130, "X": 64}))
    [(0, 0, 64, 64), (64, 0, 64, 64)]
    """
    return lambda image: [
        (y, x, side, side)
        for y in range(0, image.sizes["Y"] - side + 1, side)
        for x in range(0, image.sizes["X"] - side + 1, side)
    ]


def pixels(patches: Manifest) -> NDArray[np.float32]:
    """The patches (N, H, W) of one channel, light taken off and in units of their own image's scatter."""
    made, last, whole, scatter = [], "", np.zeros(0), 1.0
    for row in patches.records():
        if row["tile.of"] != last:
            whole = patches.open(row).crop()[0].astype(np.float32)
            last, scatter = row["tile.of"], float(whole.std()) or 1.0
        window = patches.window(row)
        assert window is not None
        patch = whole[window["Y"], window["X"]]
        made.append((patch - patch.mean()) / scatter)
    return np.stack(made)


def emptiness(patches: NDArray[np.float32], learned: NDArray[np.bool_], seed: int = 0) -> Emptiness:
    """Part patches (N, H, W) in two without any label: those that hold a cell and those that do not.

    By texture: Otsu's threshold on the logarithm of the standard deviation. By a network: its embedding on ten
    principal axes and the texture beside them, modelled by two Gaussians, of which the one with less texture is empty;
    after Pattarone et al. (2021), who looked for empty patches among ResNet-18 features on a t-SNE map. Everything is
    fitted on the `learned` (N,) patches only, so that those of a test set do not decide about themselves.
    """
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    texture = np.log2(patches.std(axis=(1, 2)).astype(np.float64) + 1e-6)
    seen = embedded(patches, learned)
    middle, spread = seen[learned].mean(axis=0), seen[learned].std(axis=0) + 1e-6
    axes = PCA(min(AXES, int(learned.sum()) - 1), random_state=seed).fit((seen[learned] - middle) / spread)
    found = axes.transform((seen - middle) / spread)
    found = found / found[learned, 0].std()
    level = (texture - texture[learned].mean()) / texture[learned].std()
    table = np.column_stack([found, level])
    two = GaussianMixture(2, random_state=seed, n_init=2, reg_covar=1e-3).fit(table[learned])
    parted = two.predict(table) == int(np.argmin(two.means_[:, -1]))
    return Emptiness(texture < otsu(texture[learned]), parted, table)


def embedded(patches: NDArray[np.float32], learned: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What the network SEES in patches (N, H, W), as (N, F); grey values are scaled by those of the learned patches."""
    from potency.bundle import Bundle, NetworkMember
    from potency.bundle.shipped import located

    member = Bundle.load(located(SEES)).members[0]
    assert isinstance(member, NetworkMember)
    low, high = (float(value) for value in np.percentile(patches[learned], (0.5, 99.5)))
    plan = member.plan.but(
        scaling={member.plan.channels[0]: (low, max(high, low + 1e-6))}, tile=patches.shape[1:], test_views=1
    )
    looking = NetworkMember(member.task, plan, member.nets)
    made = [
        output["embedding"]
        for first in range(0, len(patches), BATCH)
        for output in looking.outputs([{"image": patch[None]} for patch in patches[first : first + BATCH]])
    ]
    return np.asarray(made, np.float64)


def mapped(found: Emptiness, seed: int = 0) -> Picture:
    """A t-SNE map (van der Maaten and Hinton 2008) of at most MAPPED patches, the empty ones in their own colour."""
    from sklearn.manifold import TSNE

    some = np.sort(np.random.default_rng(seed).permutation(len(found.empty))[:MAPPED])
    nearest = float(min(30, max(2, len(some) // 4)))
    flat = TSNE(2, perplexity=nearest, random_state=seed, init="pca").fit_transform(found.seen[some])
    empty = found.empty[some]
    clouds = {name: tuple(flat[here].T) for name, here in (("kept", ~empty), ("removed as empty", empty)) if here.any()}
    look = f"{len(some)} patches by what a network sees in them; the axes have no unit."
    return cloud("Which patches are removed", clouds, ("t-SNE 1", "t-SNE 2"), look)


def shares(patches: Manifest, column: str) -> NDArray[np.float64]:
    """Which share of each patch (N,) the mask of its image, a file named in `column`, marks."""
    from potency.data.readers import open_image

    made, last, mask = np.empty(len(patches)), "", np.zeros((1, 1), np.bool_)
    for at, row in enumerate(patches.records()):
        if row[column] != last:
            last, mask = row[column], open_image(patches.folder / row[column]).crop()[0] > 0
        window = patches.window(row)
        made[at] = mask.mean() if window is None else mask[window["Y"], window["X"]].mean()
    return made


def known_empties(problem: Problem, side: int, order: Order) -> Scene:
    """Whole images with a column `mask` of their cells, in patches of `side` px: is it known which are empty?

    A patch without a marked pixel is empty, one of which five per cent is marked holds a cell; what lies between is
    left out. What a network's features tell stands beside the texture.
    """
    patches = problem.manifest.explode(grid(side))
    found, share = emptiness(pixels(patches), np.ones(len(patches), np.bool_)), shares(patches, "mask")
    truth = np.where(share == 0, "empty", np.where(share >= NEAR, "cells", ""))
    said, seen = (np.where(empty, "empty", "cells") for empty in (found.empty, found.parted))
    rows = patches.add({"truth": truth, "prediction": said, "prediction@network": seen}, {"truth": "category"})
    rows = rows.where((truth != "").tolist())
    about = (f"{problem.about} Patches of {side} px: without a marked pixel they are empty, from {NEAR:.0%} on they "
             "hold a cell, what lies between is left out. Texture decides in this recipe.")  # fmt: skip
    names = {"prediction": "texture", "prediction@network": "features of a network"}
    asked = Problem(problem.name, problem.title, about, rows, problem.simulated)
    return judge(asked, Answered(rows, names, {}, {}), order)
