"""Gives out files of a folder: only those that lie in it, pages of reports in a sandbox of their own."""

from __future__ import annotations

import os
from pathlib import Path

from starlette.responses import FileResponse

from potency.web.jobs import Missing

SHOWN = {".png": "image/png", ".jpg": "image/jpeg", ".json": "application/json", ".csv": "text/csv; charset=utf-8",
         ".html": "text/html; charset=utf-8", ".txt": "text/plain; charset=utf-8"}  # fmt: skip
# A report is a page with a script of its own: it runs, but as nobody's page, so that it can reach nothing of ours.
SANDBOX = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)


def kept(folder: Path, name: str) -> FileResponse:
    """A file of a folder by its relative path; a picture, table or report is shown, anything else downloaded.

    Raises:
        Missing: the folder has no such file. Each part of the name is compared with what is there, link by link.
    """
    path = _found(folder, name)
    if path is None:
        raise Missing("there is no such file", name[-80:], "go back to the page of the job")
    suffix = path.suffix.lower()
    kind = SHOWN.get(suffix)
    headers = {"content-security-policy": SANDBOX, "x-frame-options": "SAMEORIGIN"} if suffix == ".html" else {}
    if kind is None:
        return FileResponse(path, filename=path.name, media_type="application/octet-stream")
    return FileResponse(path, media_type=kind, headers=headers)


def _found(folder: Path, name: str) -> Path | None:
    """The file of that name; what a name says is never joined to a path, only names that the folder itself tells."""
    at, parts = folder, name.split("/")
    for depth, part in enumerate(parts, 1):
        try:
            with os.scandir(at) as entries:
                there = next((one for one in entries if one.name == part and not one.is_symlink()), None)
        except OSError:
            return None
        if there is None or not (there.is_file() if depth == len(parts) else there.is_dir()):
            return None
        at = at / there.name
    return at
