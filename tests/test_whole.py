"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import pytest
from test_house import HOME, MODULES

from potency.data.whole import replaced, replacing


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.csv"
    replaced(path, "old")
    with pytest.raises(ValueError, match="half"), replacing(path) as part:
        assert part.suffix == ".csv" and part.parent.parent == path.parent
        part.write_text("ne")
        raise ValueError("half")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass  # nobody wrote anything
    assert path.read_text() == "old" and [one.name for one in path.parent.iterdir()] == ["a.csv"]
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        replaced(tmp_path / "folder", "x")
    assert (tmp_path / "folder").is_dir() and len(list(tmp_path.iterdir())) == 2


def test_a_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        replaced(tmp_path / "a", b"x")
        (tmp_path / "b").write_text("x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_of_many_writers_a_reader_sees_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    texts = [str(k) * 50_000 for k in range(8)]
    replaced(path, texts[0])
    writers = [threading.Thread(target=replaced, args=(path, text)) for text in texts]
    for writer in writers:
        writer.start()
    seen = [path.read_text() for _ in range(50)]
    for writer in writers:
        writer.join()
    assert set(seen) | {path.read_text()} <= set(texts) and len(list(tmp_path.iterdir())) == 1


def test_nobody_else_writes_a_file_beside_its_place() -> None:
    """Only folders, files that grow and pictures of the web tool that can be drawn again are renamed by others."""
    known = {"data/whole.py", "data/masks/ngff.py", "data/masks/folder.py", "answers/files.py", "bundle/bundle.py",
             "learning/growing.py", "web/bands.py", "web/bringing.py", "web/personal.py", "web/thumbnails.py",
             "web/work/maps.py"}  # fmt: skip
    renaming = re.compile(r"os\.replace\(|mkstemp|\b(part|temporary)\.replace\((?!['\"])")
    found = {str(path.relative_to(HOME / "potency")) for path in MODULES if renaming.search(path.read_text("utf-8"))}
    assert found == known
