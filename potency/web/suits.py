"""Which model suits which images: by the example they are, by what was asked last, by their channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from potency.web.sets import File, ImageSet
from potency.web.shelf import Model

if TYPE_CHECKING:
    from potency.web.frame import Visit

EXAMPLES: Mapping[str, str] = {"media": "example:medium", "phase": "example:pluripotent"}  # drawn images: their model
COLOURS = (("red", "green", "blue"), ("r", "g", "b"))


def preferred(visit: Visit, chosen: ImageSet | None, models: Sequence[Model], wrong: Mapping[str, str]) -> str:
    """The id of the model to begin with; "" where nothing speaks for any of them.

    For images that were drawn here the model of their kind; else the one asked last, else the newest of one's own;
    never one that cannot read the chosen images.
    """
    asked = [str(job.arguments.get("model")) for job in visit.jobs.of(visit.person.id, ("answer",), most=20)]
    example = EXAMPLES.get(str(chosen.facts.get("example")) if chosen else "")
    wanted = [*([example] if example else []), *asked, *(model.id for model in models if not model.shipped)]
    there = {model.id for model in models}
    return next((id for id in wanted if id in there and id not in wrong), "")


def misfits(channels: Sequence[str], files: Sequence[File]) -> str:
    """What of these files a model of such channels cannot read, in words; "" where it can read all.

    A model of one channel takes images of one, those that have a channel of its name, and colour, which it sees grey.

    >>> image = {"axes": "CYX", "shape": [2, 8, 8], "channels": ["DAPI", "GFP"]}
    >>> misfits(["grey"], [File("1", 0, "a.tif", 1, "", image)])
    '1 of 1 images has 2 channels (DAPI, GFP); this model takes 1 (grey). Name the channel below, or it gets an error.'
    >>> misfits(["GFP"], [File("1", 0, "a.tif", 1, "", image)])
    ''
    """
    seen = [file for file in files if file.error is None and "axes" in file.facts]
    wrong = [file for file in seen if not _fits(channels, file)]
    if not wrong:
        return ""
    first = wrong[0]
    names = ", ".join(map(str, first.facts.get("channels") or ()))
    count = _count(first)
    has, it, gets = ("has", "it", "gets") if len(wrong) == 1 else ("have", "they", "get")
    mend = f"Name the channel below, or {it} {gets} an error." if len(channels) == 1 else (
        f"{it.capitalize()} {gets} an error in place of an answer.")  # fmt: skip
    return (
        f"{len(wrong)} of {len(seen)} images {has} {count} {'channel' if count == 1 else 'channels'}"
        f"{f' ({names[:80]})' if names else ''}; this model takes {len(channels)} ({', '.join(channels)[:80]}). {mend}"
    )


def _count(file: File) -> int:
    axes, shape = str(file.facts["axes"]), file.facts.get("shape") or []
    return int(shape[axes.index("C")]) if "C" in axes and len(shape) == len(axes) else 1


def _fits(channels: Sequence[str], file: File) -> bool:
    count, names = _count(file), [str(name) for name in file.facts.get("channels") or ()]
    if len(channels) == 1:
        return count == 1 or channels[0] in names or tuple(name.lower() for name in names) in COLOURS
    return count == len(channels)
