"""Prints the pages of the web tool from their templates."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from potency import __version__
from potency.web.answers import often, words
from potency.web.settings import Settings


@cache
def environment() -> Environment:
    """The templates of `potency/web/templates`; everything that is printed is escaped."""
    paper = Environment(
        loader=PackageLoader("potency.web", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    paper.globals |= {"program": __version__, "navigation": NAVIGATION}
    paper.filters |= {"size": size, "duration": duration, "when": when, "share": share, "often": often,
                      "words": words, "halves": halves, "extent": extent, "kind": kind,
                      "beginning": beginning, "figure": figure}
    return paper


TAIL, SHORT = 12, 4  # characters at the end of a name that are always shown; a beginning of fewer is not cut off
NAVIGATION: list[tuple[str, str]] = []  # title and path of the pages in the head, in order; pages fill it
WORK: dict[str, str] = {}  # the title of each kind of work; pages fill it


def printed(template: str, /, **facts: Any) -> str:
    """A page as text."""
    return environment().get_template(template).render(**facts)


def size(count: float) -> str:
    """A number of bytes for people.

    >>> size(900), size(1_234_567), size(5 * 2**30)
    ('900 B', '1.2 MB', '5.4 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def figure(value: float) -> str:
    """A measured number, to four digits.

    >>> figure(23412.3), figure(0.012346), figure(2.5e9)
    ('23,410', '0.01235', '2.5e+09')
    """
    return f"{float(f'{value:.4g}'):,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def door(settings: Settings, fault: str = "", to: str = "/", asked: bool = False) -> str:
    """The page of logging in, from which a browser goes `to` a page; `asked` where it asked for that one."""
    return printed("enter.html", person=None, settings=settings, fault=fault, to=to, asked=asked)


def kind(name: str) -> str:
    """The title of a kind of work; its own name where the program no longer knows it.

    >>> kind("of old")
    'of old'
    """
    return WORK.get(name, name)


def beginning(text: str, most: int = 2) -> str:
    """The first sentences of a text.

    >>> beginning("Nuclei, 9 to 95 px across. Not cells. Learned from 397 images.")
    'Nuclei, 9 to 95 px across. Not cells.'
    """
    return " ".join(re.split(r"(?<=[.?!]) +(?=[A-Z])", text)[:most])


def halves(name: str) -> tuple[str, str]:
    """A name in two: the beginning, which is cut where there is no room, and the end, by which names differ.

    A short name stays whole: of its beginning there would be nothing left to cut.

    >>> halves("movie_hela.tif"), halves("donor7_plate3/long_name_of_a_series_0012.tif")
    (('', 'movie_hela.tif'), ('donor7_plate3/long_name_of_a_ser', 'ies_0012.tif'))
    """
    return ("", name) if len(name) < TAIL + SHORT else (name[:-TAIL], name[-TAIL:])


def extent(facts: Mapping[str, Any]) -> str:
    """How large an image is, in words.

    >>> extent({"axes": "TCZYX", "shape": [5, 2, 7, 512, 700]}), extent({"axes": "YX", "shape": [8, 9]})
    ('700 × 512 px, 5 times, 7 planes, 2 channels', '9 × 8 px')
    """
    sizes = dict(zip(str(facts["axes"]), facts["shape"], strict=False))
    many = [f"{sizes[axis]} {what}" for axis, what in (("T", "times"), ("Z", "planes"), ("C", "channels"))
            if sizes.get(axis, 1) > 1]  # fmt: skip
    return ", ".join([f"{sizes.get('X', 1)} × {sizes.get('Y', 1)} px", *many])


def duration(seconds: float | None) -> str:
    """A time span for people.

    >>> duration(None), duration(0.4), duration(75), duration(7320)
    ('', 'under 1 s', '1 min 15 s', '2 h 2 min')
    """
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 1:
        return "under 1 s"
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def when(time: float | None) -> str:
    """A moment in the time of the server."""
    return "" if time is None else datetime.datetime.fromtimestamp(time).strftime("%Y-%m-%d %H:%M")


def share(value: float | None) -> str:
    """A share of one as whole per cent, never rounded up to certainty.

    >>> share(0.9996), share(0.5), share(0.0002), share(1.0)
    ('> 99 %', '50 %', '< 1 %', '100 %')
    """
    if value is None or value != value:
        return "-"
    if value not in (0.0, 1.0) and round(100 * value) in (0, 100):
        return "> 99 %" if value > 0.5 else "< 1 %"
    return f"{100 * value:.0f} %"
