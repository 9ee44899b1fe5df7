"""Gives out files of a folder: only those that lie in it, pages of reports in a sandbox of their own."""

from __future__ import annotations

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
        Missing: the folder has no such file. The name is compared with the files there and never joined to a path.
    """
    path: Path | None = folder
    for part in name.split("/"):  # from folder to folder: a job may have made thousands of files
        there = path is not None and path.is_dir() and not path.is_symlink()
        path = next((one for one in path.iterdir() if one.name == part), None) if path is not None and there else None
    if path is None or not path.is_file() or path.is_symlink() or not path.resolve().is_relative_to(folder.resolve()):
        raise Missing("there is no such file", name[-80:], "go back to the page of the job")
    kind = SHOWN.get(path.suffix.lower())
    headers = {"content-security-policy": SANDBOX, "x-frame-options": "SAMEORIGIN"} if path.suffix == ".html" else {}
    if kind is None:
        return FileResponse(path, filename=path.name, media_type="application/octet-stream")
    return FileResponse(path, media_type=kind, headers=headers)
