"""Finds everything that is wrong or doubtful in a manifest, all at once: faults are refused, warnings are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pandas as pd

from potency.data import leaks, quality
from potency.data.columns import APART, FILES, WHOLE
from potency.data.findings import Finding, Findings, some, tally
from potency.data.folders import natural
from potency.data.parts import COUNTED
from potency.data.pixels import LARGEST
from potency.data.quality import Facts
from potency.data.truths import Truths
from potency.errors import ImageError

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

_NOT_LEARNED = ("validation", "test", "external")


def check_table(manifest: Manifest, *, pixels: bool, duplicates: bool,
                progress: Callable[[int, int], object] | None = None) -> Findings:
    """See `Manifest.check`."""
    table = manifest.table
    # A leak is refused unless the rows were divided at random on purpose; then it is only said.
    random = manifest.origin.get("split_kind") == "random"
    declared = manifest.origin.get("split", "").startswith(("column", "folders"))
    faults, warnings = _rows(table, manifest.kinds.get("truth") == "category", manifest.groups_known)
    warnings.extend(manifest.noticed)
    parts = _parts(table)
    (warnings if random else faults).extend(leaks.groups(table, parts))
    if manifest.kinds.get("truth") in FILES:
        faults.extend(_files(manifest))
    elif manifest.kinds.get("truth") not in WHOLE:
        for fault, finding in leaks.classes(table, parts, declared=declared):
            (faults if fault else warnings).append(finding)
    warnings.extend(leaks.neighbours(table, parts))
    truths = Truths(manifest)
    facts = _look(manifest, truths, pixels=pixels, thumbnails=pixels and duplicates, progress=progress)
    faults.extend(truths.findings())
    warnings.extend(truths.warnings())
    apart = manifest.origin.get("image") == APART  # what people call these images is their id
    for fault, finding in _images(table.assign(image=table["id"]) if apart else table, facts, pixels=pixels):
        (faults if fault else warnings).append(finding)
    for leak, finding in leaks.copies(table, facts, parts):
        (faults if leak and not random else warnings).append(finding)
    if pixels and duplicates:
        warnings.extend(leaks.near(table, facts))
    return Findings(tuple(faults), tuple(warnings))


def _parts(table: pd.DataFrame) -> pd.Series | None:
    """In which part each row stands: its split where that says what is tested, else its fold, external rows apart."""
    given = table["split"] if "split" in table.columns and table["split"].nunique() > 1 else None
    if "fold" not in table.columns or (given is not None and given.eq("test").any()):
        return given
    fold = table["fold"].astype("str")
    return fold if given is None else fold.mask(given.eq("external"), "external")


def _rows(table: pd.DataFrame, category: bool, known: bool) -> tuple[list[Finding], list[Finding]]:
    """What the table alone tells."""
    faults, warnings = [], []
    again = table["id"].duplicated(keep=False)
    if again.any():
        names = sorted(set(table["id"][again]))
        faults.append(Finding("duplicate-ids", f"{len(names)} ids stand more than once: {some(names)}", "column 'id'",
                              "keep one row a sample, or give each its own id", tuple(names)))
    if not known:
        warnings.append(Finding("groups-unknown", "groups unknown: intervals assume independent images",
                                "column 'group'", "name the column of the donor, clone, plate or slide: --group"))
    unknown = [] if "split" not in table.columns else sorted(
        set(table["split"].dropna()) - {"train", "validation", "test", "external"})
    if unknown:
        faults.append(Finding("unknown-split", "unknown names of splits: " + some(unknown), "column 'split'",
                              "use train, validation, test or external"))
    faults.extend(_folds(table))
    if "truth" not in table.columns:
        return faults, warnings
    if table["truth"].isna().all():
        faults.append(Finding("no-truths", "no row has a truth to learn from", "column 'truth'",
                              "fill it, or name the right column: --truth"))
        return faults, warnings
    if "split" in table.columns and not (~table["split"].isin(_NOT_LEARNED) & table["truth"].notna()).any():
        faults.append(Finding("nothing-to-learn", "no row with a truth may be learned from: all are "
                              + some(sorted(set(table["split"].dropna()))), "column 'split'",
                              "mark some groups as train, or remove the column"))
    if len(table) == 1:
        faults.append(Finding("one-image", "there is only one image", "the table", "add images"))
    if table["group"].nunique() == 1 and len(table) > 1:
        faults.append(Finding("one-group", f"all images belong to one group: '{table['group'].iloc[0]}'",
                              "column 'group'", "add a second donor, clone, plate or day, or name its column: --group"))
    empty = table["truth"].isna()
    if empty.any():
        warnings.append(Finding("no-truth", f"{int(empty.sum())} rows have no truth and are not learned from",
                                "column 'truth'", "fill it, or leave them for prediction", tuple(table["id"][empty])))
    faults.extend(_classes(table) if category else _numbers(table))
    return faults, warnings


def _folds(table: pd.DataFrame) -> Iterator[Finding]:
    """Folds that came with the table: numbered 0, 1, 2 ..., -1 where a row is never tested."""
    if "fold" not in table.columns:
        return
    number = pd.to_numeric(table["fold"], errors="coerce")
    odd = ~(number.ge(-1) & number.eq(number.round()))
    if odd.any():
        yield Finding("folds", f"{int(odd.sum())} rows have no number of a fold: "
                      + some([repr(cell) for cell in table["fold"][odd].astype("str").unique()]), "column 'fold'",
                      "number the folds 0, 1, 2 ... (-1: never tested), or rename a column that means something else",
                      tuple(table["id"][odd]))
        return
    names = sorted(set(number[number.ge(0)]))
    if not names or (len(names) == 1 and number.eq(names[0]).all()):
        yield Finding("one-fold", "all rows stand in one fold, so that nothing is left to learn from or to test on",
                      "column 'fold'", "number two folds or more, or remove the column: folds are then dealt by group")


def _files(manifest: Manifest) -> Iterator[Finding]:
    """Truths that are files: there, for every row that has one."""
    table = manifest.table
    gone = [not (pd.isna(cell) or (manifest.folder / str(cell)).exists()) for cell in table["truth"]]
    if any(gone):
        names = some(table["truth"][gone].astype("str").tolist())
        yield Finding("no-truth-file", f"{sum(gone)} files of the truth are missing: {names}",
                      "column 'truth'", "check the paths, which start at the table's folder", tuple(table["id"][gone]))


def _numbers(table: pd.DataFrame) -> Iterator[Finding]:
    """Truths that are numbers: finite, and not all the same."""
    if not pd.api.types.is_numeric_dtype(table["truth"]):
        return
    wild = table["truth"].abs().eq(float("inf"))
    if wild.any():
        yield Finding("not-finite-truth", f"{int(wild.sum())} truths are infinite", "column 'truth'",
                      "write the number, or leave the cell empty", tuple(table["id"][wild]))
    if table["truth"].nunique() == 1 and len(table) > 1:
        yield Finding("one-value", f"all truths are the same number: {table['truth'].dropna().iloc[0]:g}",
                      "column 'truth'", "add images with other values, or name the right column: --truth")


def _classes(table: pd.DataFrame) -> Iterator[Finding]:
    groups = table.groupby("truth")["group"].nunique()
    names = sorted(groups.index, key=natural)
    if len(names) == 1:
        yield Finding("one-class", f"there is only one class: '{names[0]}'", "column 'truth'",
                      "add images of a second class, or name the right column: --truth")
    low = [name for name in names if groups[name] < 2]
    if low and table["group"].nunique() > 1:
        enough = [name for name in names if name not in low]
        yield Finding("few-groups", "these classes have fewer than two groups: " + some(low), "column 'group'",
                      "add groups of them" + (", or leave them out: --classes " + ",".join(enough) if enough else ""),
                      tuple(table["id"][table["truth"].isin(low)]))


def _look(manifest: Manifest, truths: Truths, *, pixels: bool, thumbnails: bool,
          progress: Callable[[int, int], object] | None) -> list[Facts]:
    """One reading an image and its truth; without `pixels` only whether files can be opened and what they contain."""
    facts = []
    for number, row in enumerate(manifest.records()):
        try:
            digest = quality.digest(tuple(manifest.paths(row).values()))
            if pixels:
                facts.append(quality.inspect(manifest.open(row), digest, thumbnail=thumbnails,
                                             window=manifest.window(row)))
                truths.look(row)
            else:
                facts.append(Facts(digest=digest))
        except ImageError as fault:
            facts.append(Facts(error=f"{fault.what} ({fault.mend})" if fault.mend else fault.what))
        if progress is not None:
            progress(number + 1, len(manifest))
    return facts


def _images(table: pd.DataFrame, facts: list[Facts], *, pixels: bool) -> Iterator[tuple[bool, Finding]]:
    """What reading the images told; True marks a fault."""
    ids = table["id"].tolist()
    bad = [at for at, each in enumerate(facts) if each.error]
    if bad:
        lines = [f"{table['image'].iloc[at]}: {facts[at].error}" for at in bad]
        yield True, Finding("unreadable", f"{len(bad)} of {len(facts)} images are missing or cannot be read",
                            some(lines, 3, "; "), "copy or export these files again, or remove their rows",
                            tuple(ids[at] for at in bad))
    sound = [at for at, each in enumerate(facts) if not each.error]
    if not pixels or not sound:
        return

    def rows(true: Callable[[Facts], bool]) -> tuple[str, ...]:
        return tuple(ids[at] for at in sound if true(facts[at]))

    counts = pd.Series([facts[at].channels for at in sound]).value_counts()
    if len(counts) > 1:
        usual = int(counts.index[0])
        yield True, Finding("channels", "images have different numbers of channels: " + tally(counts), "the images",
                            "convert them to one form, or say which channels to use: --channels",
                            rows(lambda each: each.channels != usual))
    odd = rows(lambda each: not each.finite)
    if odd:
        yield True, Finding("not-finite", f"{len(odd)} images hold pixels that are no number or infinite, "
                      f"or beyond {LARGEST:.2g}",
                            some(list(odd)), "export them again, or replace these pixels", odd)
    flat = rows(lambda each: each.constant)
    if flat:
        yield False, Finding("constant", f"{len(flat)} images are of one value everywhere", some(list(flat)),
                             "look at them: empty wells, a closed shutter, a failed export", flat)
    unknown = rows(lambda each: each.pixel_size is None)
    if unknown:
        yield False, Finding("pixel-size", f"the pixel size of {len(unknown)} images is unknown", "the images",
                             "sizes are then in pixels; mixing magnifications would not be noticed", unknown)
    yield from _unread(table, facts, sound)
    known = [size for size in (facts[at].pixel_size for at in sound) if size is not None]
    scales = pd.Series([f"{size[0]:.4g}" for size in known], dtype="str").value_counts()
    if len(scales) > 1:
        yield False, Finding("scales", "images have different pixel sizes (um): " + tally(scales), "the images",
                             "they are brought to one pixel size for learning")
    for code, what, values in (("sizes", "sizes", [f"{h}x{w}" for h, w in (facts[at].shape for at in sound)]),
                               ("dtypes", "types of pixels", [facts[at].dtype for at in sound])):
        kinds = pd.Series(values).value_counts()
        if len(kinds) > 1:
            yield False, Finding(code, f"images have different {what}: {tally(kinds)}", "the images",
                                 "size may tell the classes apart: compare with the trivial baseline"
                                 if code == "sizes" else "scale them alike, or export them from one program")


def _unread(table: pd.DataFrame, facts: list[Facts], sound: list[int]) -> Iterator[tuple[bool, Finding]]:
    """Files that hold more than the one picture a row reads of them."""
    for column, name in COUNTED.items():
        chosen = table[column].notna().tolist() if column in table.columns else [False] * len(table)
        more = [at for at in sound if column in facts[at].unread and not chosen[at]]
        if more:
            counts = tally(pd.Series([facts[at].unread[column] for at in more]).value_counts())
            yield False, Finding("unread", f"{len(more)} files hold more than one {name}, and only the first is read: "
                                 f"{counts}", f"no column '{column}'",
                                 f"make a row of each: --each {column}; or say which in a column {column}, from 0",
                                 tuple(table["id"].iloc[more]))
