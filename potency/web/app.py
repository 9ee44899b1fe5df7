"""Puts the web tool together: the guard, the pages, the errors, the files that never change."""

from __future__ import annotations

import time
from importlib import resources
from pathlib import Path

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from potency import __version__
from potency.errors import PotencyError
from potency.web import bringing, room
from potency.web.faults import told
from potency.web.guard import Guard, Tries
from potency.web.instant import Instant
from potency.web.pages import PAGES
from potency.web.people import People
from potency.web.recent import Recent
from potency.web.settings import Settings
from potency.web.store import Store

ABOUT = "Check, predict, explain, correct and train on stem-cell microscopy. Every page has its JSON twin at PATH.json."


def create(settings: Settings) -> FastAPI:
    """The application of one web tool; long work waits until workers (`potency.web.crew`) take it.

    Raises:
        PotencyError: its folder cannot be written, or is of another version.
    """
    store = Store(settings.folder)
    app = FastAPI(title="potency", version=__version__, description=ABOUT, docs_url=None, redoc_url=None)
    app.state.settings, app.state.store, app.state.tries = settings, store, Tries()
    app.state.instant, app.state.recent = Instant(store, settings.limits.waiting), Recent(store)
    app.state.fresh = {}  # by session: a key that was made and not shown yet
    People(store).sweep(settings.token, settings.open)
    bringing.sweep(store)
    room.sweep(store)
    store.change("DELETE FROM audit WHERE time < ?", time.time() - settings.limits.logged * 86400)
    for error in (PotencyError, HTTPException, RequestValidationError, TimeoutError, Exception):
        app.add_exception_handler(error, told)
    for pages in PAGES:  # as they are: `include_router` would make each of them again, which takes half a second
        app.router.routes.extend(pages.router.routes)
    app.mount("/static", StaticFiles(directory=Path(str(resources.files("potency.web") / "static"))), name="static")

    @app.get("/health", include_in_schema=False)
    def health() -> dict[str, str]:
        return {"potency": __version__}

    app.add_middleware(Guard, settings=settings, recent=app.state.recent)
    return app
