"""What a network of a recipe sees: a map of its features of rows it had not seen, and the pictures of its classes."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.evaluation.gallery import Card, Wall
from potency.measurement.quality.page import Picture

if TYPE_CHECKING:
    from potency.data.manifest import Manifest
    from potency.embedding.layout import Layout

STEPS, PICTURES = 60, 2  # of each class: enough to see what it answers to, seconds on a small network
MOST = 1000  # rows on the map
COMPARED = 200  # real images whose score is asked for


def sights(
    manifest: Manifest, bundle: Path, name: str, into: Path
) -> tuple[tuple[Picture, ...], tuple[Wall, ...]]:
    """Of one network a map of its features, and the pictures of what it answers to.

    Args:
        manifest: rows with the answers of `bundle` in `prediction` where it had not learned from them.
        bundle: one network; with several, or none, there is nothing that had not seen the rows, and no picture.
        name: of the network, for people.
        into: folder of the pictures.
    """
    from potency.bundle import Bundle, NetworkMember

    model = Bundle.load(bundle)
    if len(model.members) != 1 or not isinstance(model.members[0], NetworkMember):
        return (), ()
    unseen = manifest.where(manifest.table["prediction"].notna())
    unseen = _few(unseen, MOST)
    return (_features(unseen, model, name),), (_classes(_few(unseen, COMPARED), model, name, into),)


def _few(rows: Manifest, most: int) -> Manifest:
    """At most so many of the rows, drawn once."""
    kept = np.random.default_rng(0).permutation(len(rows))[:most]
    return rows.where(np.isin(np.arange(len(rows)), kept).tolist())


def _features(unseen: Manifest, model: Any, name: str) -> Picture:
    from potency.embedding import embed
    from potency.embedding.embed import vectors_in
    from potency.embedding.layout import layouts
    from potency.embedding.reading import read

    values, places = vectors_in(embed(unseen, model, into=None))
    rows = unseen.table.iloc[places].reset_index(drop=True)
    found, reading = layouts(values, ["tsne"]), read(values, rows, unseen)
    svg = _drawn(found, rows["truth"].astype(str).to_numpy())
    note = f"{len(rows)} test images in the features of {name}. {reading.verdict} {found[0].note}"
    source = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
    return Picture(f"What {name} makes of images it had not seen", source, note)


def _drawn(found: list[Layout], truth: Any) -> str:
    """Principal components beside t-SNE, coloured by class."""
    from potency.answers.drawing import COLOURS
    from potency.evaluation.drawing import ruled, sheet

    kinds = sorted(set(truth))
    with sheet(760, 360) as page:
        for axes, layout in zip(page.axes(1, len(found)), found, strict=True):
            for k, kind in enumerate(kinds):
                own = layout.places[truth == kind]
                colour = "#{:02x}{:02x}{:02x}".format(*COLOURS[k % len(COLOURS)])
                marker = "os^"[k // len(COLOURS) % 3]
                axes.scatter(own[:, 0], own[:, 1], s=10, c=colour, marker=marker, linewidths=0, alpha=0.8, label=kind)
            ruled(axes, title=layout.title, grid="")
            axes.set_xticks([])
            axes.set_yticks([])
        page.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=min(4, len(kinds)))
        return page.svg("features", "map of the features of test images, coloured by class")


def _classes(unseen: Manifest, model: Any, name: str, into: Path) -> Wall:
    from potency.explanation.ascent import Ascent
    from potency.explanation.visualise import goals_of, visualise
    from potency.explanation.visualised import seen, verdict

    ascent = Ascent(steps=STEPS, seeds=PICTURES)
    found = visualise(model, goals_of(model), into=into / "visualised", images=unseen, ascent=ascent)
    cards = []
    for shown in found:
        for picture in shown.pictures:
            said = f"{picture.score:.1f}: {picture.answer}"
            cards.append(Card(seen(picture.pixels), shown.goal.name, (said,), ""))
        if shown.best_pixels is not None:
            cards.append(Card(seen(shown.best_pixels), f"{shown.goal.name}, real", (f"{shown.best:.1f}",), ""))
    told = verdict(found).partition(" No second model")[0]
    note = (
        "Made by gradient ascent from noise, so that the score of a class is as high as possible (Olah 2017), with the "
        "score they reach and what the network takes them for; beside them the test image with the highest score. "
        f"{told} They show what the network answers to, exaggerated: no cell looks like this."
    )
    return Wall(f"What {name} answers to", note, tuple(cards))
