"""Runs a web tool: the application, its workers, and the address that is printed."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from potency.errors import MissingExtra, PotencyError
from potency.web.people import People
from potency.web.settings import Settings
from potency.web.store import ID, Store


def serve(settings: Settings, ready: Callable[[str], object] = print, warm: Sequence[str] = ()) -> None:
    """Serve until the process is stopped; `ready` is called with the address once pages are answered.

    Args:
        warm: models (names of the package, or ids) that are made ready for `/predict.json` at once, in a thread.

    Raises:
        PotencyError: the address or its port cannot be had, the folder is in use, or a model is not there.
            MissingExtra: no web server.
    """
    try:
        import uvicorn

        from potency.web import journal, wire
        from potency.web.app import create
        from potency.web.crew import Crew
    except ImportError as error:
        raise MissingExtra(str(error.name or "fastapi"), "web") from error
    from potency.inference.claim import claimed

    with contextlib.ExitStack() as stack:
        app = create(settings)
        stack.enter_context(claimed(settings.folder))
        if settings.accounts and not People(app.state.store).admins:
            raise PotencyError("nobody has an account that may manage accounts", "--accounts",
                               f"potency serve --add NAME:admin --into {settings.folder}")  # fmt: skip
        app.state.store.stock()
        journal.begin()
        _arriving(settings)
        stack.callback(app.state.instant.close)
        folders = [model_folder(app.state.store, name) for name in warm]
        listening = stack.enter_context(_listening(settings))
        port = listening.getsockname()[1]
        stack.enter_context(Crew(app.state.store, settings.workers, settings.limits))
        limits = settings.limits
        config = uvicorn.Config(app, log_config=None, access_log=False, proxy_headers=False, ws="none",
                                http=wire.line(limits.each, settings.proxies),
                                **wire.limits(limits.connections))  # fmt: skip
        server = uvicorn.Server(config)
        begun = server.startup

        async def startup(*words: Any, **more: Any) -> None:
            await begun(*words, **more)
            ready(address(settings, port))
            for folder in folders:
                app.state.instant.ready(folder)

        # The web server repeats the signal that stopped it; as an exit it lets the workers end and frees their jobs.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        server.startup = startup  # type: ignore[method-assign]
        server.run(sockets=[listening])


def _arriving(settings: Settings) -> None:
    """Uploads on their way lie beside those that have come: the system's place for such files may be its memory."""
    place = settings.folder / "arriving"
    shutil.rmtree(place, ignore_errors=True)  # of a server that was killed
    place.mkdir()
    tempfile.tempdir = str(place.resolve())


def model_folder(store: Store, name: str) -> Path:
    """Where the bundle of a model lies, by its name in the package or its id on a shelf.

    Raises:
        PotencyError: there is no such model.
    """
    from potency.bundle.shipped import located

    folder = store.place("models", name) if ID.match(name) else located(name)
    if not (folder / "card.json").is_file():
        raise PotencyError(f"there is no model {name!r}", "--warm", "give a name or id that the page of models lists")
    return folder


def address(settings: Settings, port: int) -> str:
    """What to open in a browser."""
    host = settings.host if settings.host not in ("0.0.0.0", "::") else socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def new_token() -> str:
    """A token that cannot be guessed."""
    return secrets.token_urlsafe(24)


@contextlib.contextmanager
def _listening(settings: Settings) -> Any:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol is named, or asyncio would not switch Nagle's algorithm off, and every answer came 40 ms late.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        try:
            listening.bind((settings.host, settings.port))
        except OSError as error:
            what, where = f"nothing can listen there: {error.strerror or error}", f"{settings.host}:{settings.port}"
            raise PotencyError(what, where, "choose another --port (0 takes a free one)") from error
        listening.listen(128)
        yield listening
    finally:
        listening.close()
