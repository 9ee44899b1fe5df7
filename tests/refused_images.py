"""Writing damaged images, and expecting that they are refused in words that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from potency.data.readers import open_image
from potency.errors import ImageError


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def refuse(path: Path, *words: str, mend: str = "", part: dict[str, slice] | None = None) -> None:
    """Expect an ImageError that says all `words`, names the file and says how to mend it."""
    with pytest.raises(ImageError) as caught:
        open_image(path)[part or {}]
    error = caught.value
    for word in words:
        assert word in error.what, error.what
    assert error.where == str(path)
    assert mend in error.mend and error.mend
