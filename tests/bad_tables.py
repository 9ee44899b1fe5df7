"""Bad tables and splits, one by one: dialects that are read alike, columns and paths that are refused, leaks."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bad_case import Case, command
from PIL import Image as Picture

from potency.data.manifest import Manifest
from potency.data.tables import write_table

HEADER = ["file", "label", "donor", "size"]
ROWS = [["0.png", "stem", "007", "1.5"], ["1.png", "neurone é", "007", "2.5"], ["2.png", "stem", "008", "3"],
        ["3.png", "neurone é", "008", "4"]]  # fmt: skip
LONG = "/".join(["a folder of a plate that was named with care " + "x" * 50] * 3)  # some 300 characters


def table(separator: str = ",", decimal: str = ".") -> str:
    lines = [HEADER, *([*row[:3], row[3].replace(".", decimal)] for row in ROWS)]
    return "\n".join(separator.join(line) for line in lines) + "\n"


def picture(path: Path, seed: int, side: int = 12) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(np.random.default_rng(seed).integers(0, 255, (side, side), dtype=np.uint8)).save(path)
    return path


def pictures(folder: Path, count: int) -> list[str]:
    return [picture(folder / f"{number}.png", number).name for number in range(count)]


def sound(folder: Path) -> dict[str, Any]:
    """Twelve images of two classes in four groups, with which nothing is wrong."""
    groups = [f"g{n % 4 // 2}{n % 2}" for n in range(12)]
    return {"file": pictures(folder, 12), "truth": ["a", "b"] * 6, "group": groups}


def understood(made: Manifest) -> str:
    groups = made.table["group"].nunique()
    return f"read as {len(made)} rows, {groups} groups, classes {' and '.join(made.classes) or 'none'}"


def dialect(item: str, given: str, content: bytes) -> Case:
    """A table of the four rows in some dialect, which must read like all the others."""

    def do(folder: Path) -> str:
        (folder / "t.csv").write_bytes(content)
        made = Manifest.read(folder / "t.csv")
        assert made.table["image"].tolist() == [row[0] for row in ROWS]
        assert made.table["truth"].tolist() == [row[1] for row in ROWS]
        assert made.table["group"].tolist() == [row[2] for row in ROWS]
        assert made.table["size"].tolist() == [float(row[3]) for row in ROWS]
        return understood(made)

    return Case(item, given, do, "read as 4 rows, 2 groups, classes neurone é and stem")


def refused(item: str, given: str, content: str, says: str, mend: str, name: str = "t.csv", **how: Any) -> Case:
    def do(folder: Path) -> str:
        (folder / name).write_bytes(content.encode())
        return understood(Manifest.read(folder / name, **how))

    return Case(item, given, do, says, mend, where=name)


def faulty(item: str, given: str, says: str, mend: str, **columns: Any) -> Case:
    """Twelve sound images, two classes in four groups, with some columns changed: what the command `check` says."""

    def do(folder: Path) -> str:
        pd.DataFrame({**sound(folder), **columns}).to_csv(folder / "t.csv", index=False)
        return command("check", folder / "t.csv", "--no-duplicates")

    return Case(item, given, do, says, mend, where=" ")


# --------------------------------------------------------------------------------------------------------------- tables


def bombed(folder: Path) -> str:
    """A directory of a bomb: what each part of the file unpacks to."""
    pd.DataFrame({"image": ["a.png"]}).to_excel(folder / "t.xlsx", index=False)
    with zipfile.ZipFile(folder / "t.xlsx", "a") as file:
        file.writestr("xl/worksheets/sheet2.xml", b"")
        file.infolist()[-1].file_size = 2**32 - 2**20
    return understood(Manifest.read(folder / "t.xlsx"))


def many(folder: Path) -> str:
    """A table as long as a screen of a whole institute, read and split."""
    count = 10**7 if "--long" in sys.argv else 10**5
    numbers = np.arange(count)
    rows = pd.DataFrame({"image": "cells/" + pd.Series(numbers).astype("str") + ".png", "group": numbers % 997,
                         "truth": np.where(numbers % 2, "a", "b")})  # fmt: skip
    write_table(rows.astype({"group": "str"}), folder / "t.parquet", {})
    made = Manifest.read(folder / "t.parquet").split()
    assert len(made) == count and made.table["fold"].nunique() == 5
    return f"{understood(made)}; split into 5 folds".replace(str(count), "all")


def exported(folder: Path) -> str:
    risky = ["=1+1", "+1", "-1", "@x", "\tx"]
    written = Manifest.of_rows(pd.DataFrame({"image": risky, "=note": risky}), folder).write(folder / "x.csv")
    cells = [cell.strip('"') for line in written.read_text("utf-8").splitlines() for cell in line.split(",")]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t")]
    assert Manifest.read(written).table["=note"].tolist() == risky
    return "written with an apostrophe before each; read back as they were"


def path_of(cell: str, *, absolute: bool = False, confined: bool = False) -> Callable[[Path], str]:
    """A table in a folder that names its one image by this path."""

    def do(folder: Path) -> str:
        place = folder / "in"
        place.mkdir()
        picture(Path(place / cell), 0)
        named = str(place / cell) if absolute else cell
        pd.DataFrame({"file": [named], "label": ["x"]}).to_csv(place / "t.csv", index=False)
        made = Manifest.read(place / "t.csv", confined=confined)
        assert made.open(made.records()[0]).shape == (12, 12)
        return "read as an image of 12 x 12"

    return do


def backslashes(folder: Path) -> str:
    picture(folder / "plate 1" / "a.png", 0)
    (folder / "t.csv").write_text("file\nplate 1\\a.png\n", "utf-8")
    made = Manifest.read(folder / "t.csv")
    assert made.open(made.records()[0]).shape == (12, 12)
    return "read as an image of 12 x 12"


def long_name(folder: Path) -> str:
    (folder / "t.csv").write_text(f"file\n{'a' * 300}.png\n", "utf-8")
    return command("check", folder / "t.csv")


PATHS = "absolute, relative, .., unicode, space, 300-character paths"
OUTSIDE = "a path leaves the folder of the table"
TABLES = [
    dialect("BOM", "a byte-order mark", table().encode("utf-8-sig")),
    dialect("BOM", "UTF-16, as Excel's Unicode text", table("\t").encode("utf-16")),
    dialect("semicolons", "semicolons", table(";").encode()),
    dialect("semicolons", "Excel's first line sep=;", ("sep=;\n" + table(";")).encode()),
    dialect("decimal comma", "semicolons and decimal commas", table(";", ",").encode()),
    dialect("cp1252", "the code page of an old Windows", table(";").encode("cp1252")),
    refused("wrong or duplicate column", "no column of images", "picture,label\na.png,x\n",
            "no column holds the image files", "rename the column 'picture' to image"),
    refused("wrong or duplicate column", "a column that is not there", "file,fate\na.png,x\n",
            "there is no column 'fates'", "did you mean 'fate'?", truth="fates"),
    refused("wrong or duplicate column", "a column twice", "file,label,file\na.png,x,b\n",
            "a column stands twice: file", "rename or remove one"),
    refused("wrong or duplicate column", "a column without a name", "file,label,\na.png,x,\n", "a column has no name",
            "name it in the first line"),
    refused("wrong or duplicate column", "rows of another length", "file,label\na.png,x,y\nb.png,x\n",
            "the rows do not fit the columns", "quote cells"),
    Case("wrong or duplicate column", "rows without an image", lambda f: (
        (f / "t.csv").write_text("file,label\na.png,x\n,y\n"), understood(Manifest.read(f / "t.csv")))[1],
        "1 of 2 rows name no image file", "fill in the file", "t.csv, rows 2"),
    faulty("duplicate ids", "one id for two rows", "1 ids stand more than once: x", "keep one row a sample",
           id=["x", "x", *map(str, range(10))]),
    refused("empty", "0 bytes", "", "the table is empty", "export it again"),
    refused("empty", "a header without rows", "file,label\n", "the table has no rows", "export it with its rows"),
    Case("empty", "an empty folder", lambda f: command("check", f), "the folder holds no images and no table",
         "images end in", "the folder"),
    refused("wrong extension", "a CSV named .xlsx", table(), "this is not an Excel file", "save it again", "t.xlsx"),
    refused("wrong extension", "a CSV named .parquet", table(), "the table cannot be read", "export it again",
            "t.parquet"),
    refused("wrong extension", "bytes named .csv", "fi\0le", "this is not a text table", "with its right ending"),
    Case("bomb", "an Excel file of 6 KB that unpacks to 4 GiB", bombed, "would unpack to 4.0 GiB", "the file is a bomb",
         "t.xlsx"),
    Case("10^7 rows", "10^7 rows (10^5 unless --long)", many, "read as all rows, 997 groups"),
    Case("formula injection on export", "cells that a spreadsheet would run", exported,
         "with an apostrophe before each"),
    Case(PATHS, "an absolute path",
         path_of("a.png", absolute=True), "read as an image"),
    Case(PATHS, "../a.png", path_of("../a.png"),
         "read as an image"),
    Case(PATHS, "../a.png in a stranger's table",
         path_of("../a.png", confined=True), OUTSIDE, "put the images into that folder", "a.png"),
    Case(PATHS, "an absolute path in a stranger's table",
         path_of("../b/a.png", absolute=True, confined=True), OUTSIDE, "put the images into that folder", "a.png"),
    Case(PATHS, "spaces, letters of all alphabets",
         path_of("mésange à côté/細胞 #1 – β %20.png"), "read as an image"),
    Case(PATHS, "the backslashes of Windows", backslashes,
         "read as"),
    Case(PATHS, "a path of 300 characters",
         path_of(f"{LONG}/a.png"), "read as an image"),
    Case(PATHS, "a name of 300 characters", long_name,
         "1 of 1 images are missing or cannot be read", "remove their rows", "the file cannot be read"),
]  # fmt: skip

# --------------------------------------------------------------------------------------------------------------- splits


def copied(folder: Path, **columns: Any) -> str:
    """The first image once more, under another name and in another group."""
    rows = sound(folder)
    (folder / "2.png").write_bytes((folder / "0.png").read_bytes())
    pd.DataFrame({**rows, **columns}).to_csv(folder / "t.csv", index=False)
    return command("check", folder / "t.csv")


def divided(groups: str, truth: str, **how: Any) -> Callable[[Path], str]:
    def do(folder: Path) -> str:
        rows = pd.DataFrame({"file": pictures(folder, len(groups)), "group": [*groups], "truth": [*truth]})
        rows.to_csv(folder / "t.csv", index=False)
        words = [word for name, value in how.items() for word in (f"--{name}", value)]
        return command("split", folder / "t.csv", "--into", folder / "out.csv", *words)

    return do


def alone(folder: Path) -> str:
    pd.DataFrame({"file": pictures(folder, 1), "group": ["g"], "truth": ["x"]}).to_csv(folder / "t.csv", index=False)
    return command("check", folder / "t.csv")


def rarely(folder: Path) -> str:
    given = pd.DataFrame({"image": [*"abcdefgh"], "group": [*"aabbccdd"], "truth": [*"xxxyxyxy"]})
    return Manifest.of_rows(given).split(folds=4).origin["split"]


PARTS: Mapping[str, Any] = {"split": ["train" if n % 4 < 2 else "test" for n in range(12)]}
SPLITS = [
    faulty("one group", "one group", "all images belong to one group: 'g'", "name its column: --group", group="g"),
    Case("one group", "one group, to be split", divided("aaaa", "xxyy"), "all rows belong to one group",
         "name the right column: --group", "group 'a'"),
    faulty("one class", "one class", "there is only one class: 'a'", "add images of a second class", truth="a"),
    Case("one image", "one image", alone, "only one image", "add images", "the table"),
    faulty("class missing from a split", "a class in one group", "fewer than two groups: rare", "add groups of them",
           truth=["a"] * 11 + ["rare"]),
    faulty("class missing from a split", "a split whose train rows lack a class", "the train rows have no image of: b",
           "move groups of these classes there",
           truth=["a", "b"] * 6, group=["g0", "g1", "g2", "g3"] * 3, split=["train", "test"] * 6),
    Case("class missing from a split", "a class in three groups, four folds asked for", rarely,
         "3 folds over 4 groups"),
    Case("same image twice", "the same bytes in train and test", lambda f: copied(f, **PARTS),
         "byte for byte, in more than one part", "keep one of each", "0.png, 2.png"),
    faulty("same group on both sides", "a group in train and test", "1 groups stand in more than one part: g1",
           "split by group", group=["g1", "g1", "g2", "g3"] * 3, split=["train", "test"] * 6),
    faulty("unknown split", "a misspelt split", "unknown names of splits: tset",
           "use train, validation, test or external", split=["train", "tset"] * 6),
]  # fmt: skip
CASES = {"Tables": TABLES, "Splits": SPLITS}
