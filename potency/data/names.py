"""The visible list of file-name patterns of microscopes, and how the names of a folder are recognised by it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from potency.data import harmony
from potency.data.findings import Finding, some
from potency.data.folders import CHANNEL_LIKE, natural
from potency.data.wells import well_name
from potency.errors import ManifestError, nearest

NEARLY = 0.95  # the share of names that a pattern must fit to be recognised; the rest are left out, and said


@dataclass(frozen=True)
class Pattern:
    """How one family of microscopes names its files.

    Attributes:
        name: for people and for `--names`.
        regex: fits the end of a path with `/`; what its named groups catch becomes columns of that name. `days`,
            `hours` and `minutes` become `time` in hours; `channel` says which files are one image.
        example: a path that it fits.
        skip: fits files that the microscope writes beside the images, such as thumbnails.
        more: adds what other files of the export say.
    """

    name: str
    regex: str
    example: str
    skip: str = ""
    more: Callable[[pd.DataFrame, Path], pd.DataFrame] | None = None


_IMAGE = r"\.(?i:tiff?|png|jpe?g|bmp|webp)"
_WELL = r"(?P<well>[A-P](?:0?[1-9]|1\d|2[0-4]))"
_CHANNEL = rf"(?P<channel>(?i:{CHANNEL_LIKE.pattern}))"
_FIELD = r"(?i:site|field|fov|pos|xy|s|f)?[_-]?(?P<field>\d{1,4})"

# The first that fits is taken, so the particular stand before the general.
PATTERNS: tuple[Pattern, ...] = (
    Pattern("Opera",
            r"(?:(?:(?P<plate>[^/]+?)(?:__(?P<measurement>[^/]+))?/)?Images/)?(?P<well>r\d\dc\d\d)f(?P<field>\d+)p(?P<z>\d+)"
            r"-(?P<channel>ch\d+)(?:sk(?P<timepoint>\d+))?(?:fk\d+)?(?:fl\d+)?" + _IMAGE,
            "P7__2024-05-02T10_11_12-Measurement 1/Images/r01c02f03p01-ch1sk1fk1fl1.tiff", more=harmony.add_index),
    Pattern("CellVoyager",
            rf"(?P<plate>[^/]+?)_{_WELL}_T(?P<timepoint>\d+)F(?P<field>\d+)L\d+A\d+Z(?P<z>\d+)(?P<channel>C\d+)"
            + _IMAGE,
            "P7_B03_T0001F002L01A01Z01C02.tif"),
    Pattern("Incucyte",
            r"(?P<cell_line>[^/]+?)_(?P<channel>(?i:phase|green|red|orange|nir|blue))_" + _WELL + r"_(?P<field>\d+)_"
            r"(?:(?P<date>\d{4}y\d\dm\d\dd)_|(?P<days>\d+)d)(?P<hours>\d\d)h(?P<minutes>\d\d)m(?:_(?P<crop>\d+))?"
            + _IMAGE,
            "A172_Phase_A7_1_01d04h00m_3.tif"),
    Pattern("ImageXpress",
            r"(?:TimePoint_(?P<timepoint>\d+)/)?(?:ZStep_(?P<z>\d+)/)?(?P<plate>[^/]+?)_(?P<well>[A-P]\d\d)"
            r"(?:_s(?P<field>\d+))?(?:_(?P<channel>w\d))?(?:(?<=_s\d)|(?<=_s\d\d)|(?<=_s\d\d\d)|(?<=_w\d))"
            r"(?i:[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12})?\.(?i:tiff?)",
            "P7/TimePoint_1/P7_A01_s1_w1A1B2C3D4-0000-1111-2222-A1B2C3D4E5F6.TIF", skip=r"_thumb[^/]*$"),
    Pattern("plate_well_site",
            rf"(?:(?P<plate>[^/]+?)[_-])?{_WELL}[_-]{_FIELD}(?:[_-]t(?P<timepoint>\d+))?(?:[_-]z(?P<z>\d+))?"
            rf"(?:[_-]{_CHANNEL})?(?:[_-](?P<crop>\d+))?" + _IMAGE,
            "P7_B03_s2_DAPI.tif"),
)
COUNTED = {"plate": "plates", "well": "wells", "field": "sites", "channel": "channels", "timepoint": "time points",
           "time": "time points", "z": "planes", "cell_line": "cell lines", "date": "dates"}
_OWN = re.compile(r"\(\?P<\w+>")


@dataclass(frozen=True)
class Named:
    """File names understood: `frame` has one row a file with the columns caught, `folders` what stands before them."""

    pattern: str
    frame: pd.DataFrame
    folders: pd.Series  # of tuples
    findings: tuple[Finding, ...] = ()


def own(asked: str) -> Pattern:
    """The pattern of that name, or one made of a user's regular expression with named groups.

    Raises:
        ManifestError: neither.
    """
    found = next((each for each in PATTERNS if each.name.lower() == asked.lower()), None)
    if found is not None:
        return found
    if not _OWN.search(asked):
        mend = nearest(asked, [each.name for each in PATTERNS]) + "; or a regular expression with named groups, like "
        raise ManifestError(f"'{asked}' is no pattern of file names", "--names",
                            mend + r"'(?P<well>[A-H]\d+)_s(?P<field>\d+)'; or none")
    try:
        re.compile(asked)
    except re.error as fault:
        raise ManifestError(f"'{asked}' is no regular expression", "--names", str(fault)) from fault
    return Pattern("your pattern", asked, "")


def recognise(files: Sequence[str], asked: str, folder: Path | None) -> Named | None:
    """What the names of these files (paths below `folder`) say; None where no pattern of the list fits nearly all.

    Args:
        files: paths with `/`.
        asked: a pattern's name or a regular expression, which then only has to fit some; "none" for none.
        folder: where the paths start; None where names lie nowhere, so that no other file is asked.

    Raises:
        ManifestError: the pattern asked for fits no file, or leaves two files alike.
    """
    if asked == "none" or not files:
        return None
    for pattern in (own(asked),) if asked else PATTERNS:
        images = [file for file in files if not (pattern.skip and re.search(pattern.skip, file))]
        # A user's expression may stand anywhere in the path, like those of --group; ours fit its whole end.
        regex = re.compile(pattern.regex if pattern.name == "your pattern" else rf"(?:^|(?<=/)){pattern.regex}$")
        fits = {file: match for file in images if (match := regex.search(file))}
        if asked and not fits:
            raise ManifestError(f"{pattern.name} fits none of {len(files)} file names",
                                f"{folder or '--names'}, first {files[0]}",
                                f"it fits names like {pattern.example}" if pattern.example else
                                "compare it with this name; folders are a part of it, divided by /")
        if not fits or (not asked and len(fits) < NEARLY * len(images)):
            continue
        named = _understood(pattern, fits, folder)
        alike = _alike(named)
        if alike is None:
            odd = [file for file in images if file not in fits]
            what = f"{len(odd)} of {len(images)} file names do not fit {pattern.name} and are left out"
            finding = Finding("names", what, some(odd, 3), "rename or remove them, or say another pattern: --names")
            return Named(named.pattern, named.frame, named.folders, (finding,) if odd else ())
        if asked:
            raise ManifestError(f"{pattern.name} leaves files alike: it finds the same in two names",
                                " and ".join(alike), "add a named group for what differs between them")
    return None


def _understood(pattern: Pattern, fits: dict[str, re.Match[str]], folder: Path | None) -> Named:
    caught = pd.DataFrame([match.groupdict() for match in fits.values()]).dropna(axis=1, how="all").fillna("")
    frame = pd.concat([pd.DataFrame({"image": pd.Series(list(fits), dtype="str")}), caught.astype("str")], axis=1)
    if "well" in frame:
        frame["well"] = frame["well"].map(lambda text: well_name(text) or text)
    frame = _hours(frame)
    for column in ("timepoint", "z", "t", "series"):
        if column in frame and frame[column].str.fullmatch(r"\d+").all():
            frame[column] = frame[column].astype("int64")
    if pattern.more is not None and folder is not None:
        frame = pattern.more(frame, folder)
    before = pd.Series([tuple(file[: match.start()].split("/")[:-1]) for file, match in fits.items()], dtype=object)
    return _plates(Named(pattern.name, frame, before))


def _hours(frame: pd.DataFrame) -> pd.DataFrame:
    """The parts of a time as one column, in hours since the start; of clock times since the earliest of all."""
    clock = {"days": 24.0, "hours": 1.0, "minutes": 1 / 60}
    parts = [name for name in clock if name in frame and frame[name].str.fullmatch(r"\d*").all()]
    if not parts or "time" in frame:
        return frame
    time = sum((pd.to_numeric(frame[name]).fillna(0.0) * clock[name] for name in parts), pd.Series(0.0, frame.index))
    if "date" in frame and "days" not in frame:
        days = pd.to_datetime(frame["date"].str.replace(r"\D", "", regex=True), format="%Y%m%d", errors="coerce")
        if days.notna().all():
            time = time + (days - days.min()).dt.days * 24.0
            time = time - time.min()
    return frame.drop(columns=parts).assign(time=time.round(4))


def _plates(named: Named) -> Named:
    """The folders as plates, where the same wells recur in several of them: fields sorted into classes would not."""
    frame, folders = named.frame, named.folders
    if "well" not in frame or "crop" in frame or _alike(named) is None:
        return named
    for depth in range(1, max(map(len, folders)) + 1):
        plate = folders.map(lambda parts, at=depth: parts[-at] if len(parts) >= at else "")
        if "plate" in frame and frame["plate"].nunique() > 1:
            plate = plate.str.cat(frame["plate"], sep="/")
        rest = folders.map(lambda parts, at=depth: (*parts[:-at], *parts[max(0, len(parts) - at + 1):]))
        trial = Named(named.pattern, frame.assign(plate=plate.astype("str")), rest)
        if _alike(trial) is None:
            return trial
    return named


def _keys(named: Named) -> pd.Series:
    """What the names say a file is, its channel apart: files of one key are channels of one image."""
    frame = named.frame
    loose = {"image", "channel", "pixel_size"} | ({"time"} if "timepoint" in frame else set())  # an index file's times
    columns = [name for name in frame.columns if name not in loose]
    # Single cells are sorted into folders and numbered anew in each; a field of a well is told by its name alone.
    apart = [named.folders] if "crop" in frame or "well" not in frame else []
    return pd.Series(list(zip(*(frame[name] for name in columns), *apart, strict=True)) if columns or apart else
                     [()] * len(frame), index=frame.index, dtype=object)


def _alike(named: Named) -> tuple[str, str] | None:
    """Two files of which the names say the same."""
    frame = named.frame
    keys = _keys(named)
    if "channel" in frame:
        keys = pd.Series(list(zip(keys, frame["channel"], strict=True)), index=keys.index, dtype=object)
    again = keys[keys.duplicated(keep=False)]
    if again.empty:
        return None
    first, second = [at for at in again.index if again[at] == again.iloc[0]][:2]
    return str(frame["image"][first]), str(frame["image"][second])


def together(named: Named, channels: Sequence[str]) -> Named:
    """One row an image: files that differ in their channel only become `image.<channel>`, in the order asked for.

    An image that lacks a channel keeps its row, with a path that says so: whoever opens it is told.

    Raises:
        ManifestError: a channel that no name has.
    """
    frame = named.frame
    if "channel" not in frame or frame["channel"].nunique() < 2:
        return named
    present = sorted(frame["channel"].unique(), key=natural)
    for name in channels:
        if name not in present:
            raise ManifestError(f"no file name has the channel '{name}'", f"--channels, {named.pattern}",
                                nearest(name, present))
    chosen = list(channels or present)
    frame = frame[frame["channel"].isin(chosen)]
    keys = _keys(Named("", frame, named.folders[frame.index]))
    heads = frame.loc[~keys.duplicated()]
    order = keys[heads.index]
    files = {}
    for name in chosen:
        of = frame["channel"].eq(name)
        paths = dict(zip(keys[of], frame["image"][of], strict=True))
        files[f"image.{name}"] = [paths.get(key) or f"{image}: there is no file of channel {name}"
                                  for key, image in zip(order, heads["image"], strict=True)]
    made = heads.drop(columns=["image", "channel"]).assign(image=files[f"image.{chosen[0]}"], **files)
    return Named(named.pattern, made.reset_index(drop=True), named.folders[heads.index].reset_index(drop=True),
                 named.findings)


def summary(named: Named) -> str:
    """What was recognised, in numbers.

    >>> summary(Named("Opera", pd.DataFrame({"well": ["A01", "A02"], "channel": ["ch1", "ch1"]}), pd.Series([(), ()])))
    'Opera: 2 wells, 1 channel'
    """
    frame, said = named.frame, []
    others = [name for name in frame.columns if name not in (*COUNTED, "image", "crop", "pixel_size")]
    for column in (*COUNTED, *others):
        if column not in frame or (column == "time" and "timepoint" in frame):
            continue
        inside = [name for name in ("plate", column) if name in frame] if column == "well" else [column]
        count = len(frame.drop_duplicates(inside))
        words = COUNTED.get(column, f"{column}s")
        said.append(f"{count} {words if count != 1 else words.removesuffix('s')}")
    return f"{named.pattern}: " + ", ".join(said)
