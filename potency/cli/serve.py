"""The command that opens the web tool: serve."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from potency.cli.frame import Options, command
from potency.cli.rows import listed
from potency.errors import PotencyError

app = typer.Typer()
HERE = "127.0.0.1"
PASSWORD = "POTENCY_PASSWORD"  # in the environment: the password of --add where there is no terminal


@dataclass(frozen=True, kw_only=True)
class Serve(Options):
    into: Annotated[Path, typer.Option(help="Folder of uploads, jobs, models and accounts.")] = Path("out/web")
    host: Annotated[str, typer.Option(help="Address to listen at; all but this machine's own ask for a login.")] = HERE
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8765
    name: Annotated[str, typer.Option(metavar="A,B,...", help="Host names by which browsers call it (a proxy's).")] = ""
    token: Annotated[bool, typer.Option("--token", help="Let in who has the token that it prints.")] = False
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file that holds the token. [dim]else POTENCY_TOKEN[/dim]")
    ] = None
    accounts: Annotated[bool, typer.Option("--accounts", help="Let in by name and password; see --add.")] = False
    add: Annotated[
        str, typer.Option(metavar="NAME:ROLE", help="Make an account: reader, analyst (where none is said) or admin.")
    ] = ""
    proxy: Annotated[
        str, typer.Option(metavar="A,B,...", help="Addresses of reverse proxies, believed on where a visitor is.")
    ] = ""
    limits: Annotated[
        str, typer.Option(metavar="NAME=N,...", help="Other limits, as file=8G,files=5000; see docs/web-security.md.")
    ] = ""
    workers: Annotated[int, typer.Option(min=1, help="Processes for long work.")] = 1
    secure: Annotated[bool, typer.Option("--secure", help="Cookies by https only: behind a proxy that has it.")] = False
    warm: Annotated[
        str, typer.Option(metavar="A,B,...", help="Models to make ready at once, for /predict.json: names or ids.")
    ] = ""
    no_open: Annotated[bool, typer.Option("--no-open", help="Open no browser.")] = False


@command(
    app,
    ("", "on this machine, for whoever sits at it; a browser opens"),
    ("--into /data/potency --workers 2 --no-open", "with a folder of its own, and two processes for long work"),
    ("--host 0.0.0.0 --token", "for the lab: whoever has the token that is printed"),
    ("--host 0.0.0.0 --token-file token.txt --warm example:medium", "with a token of yours, and one model ready"),
    ("--add mara:admin --into /data/potency", "make an account; the password is asked for, or read from stdin"),
    ("--host 0.0.0.0 --accounts --name potency.lab.example --secure", "behind a proxy with https"),
)
def serve(options: Serve, say: Console) -> dict[str, Any]:
    """Open the web tool: drop images in a browser, get answers, maps, tables and reports; train and correct."""
    from potency.web.server import serve as run
    from potency.web.settings import Limits, Settings

    if options.add:
        return added(options, say)
    token, given = token_of(options)
    settings = Settings(
        folder=options.into, host=options.host, port=options.port, names=listed(options.name), token=token,
        accounts=options.accounts, workers=options.workers, secure=options.secure, proxies=listed(options.proxy),
        limits=Limits().but(options.limits),
    )  # fmt: skip

    def ready(address: str) -> None:
        say.print(f"open {address}", soft_wrap=True)
        if token and not given:  # one that was given is known, and no log should hold it
            say.print(f"token: {token}", soft_wrap=True)
        say.print("Ctrl-C ends it; images, jobs and models stay in " + str(options.into), style="dim", soft_wrap=True)
        if not options.no_open and settings.local:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    run(settings, ready, listed(options.warm))
    return {"into": options.into}


def token_of(options: Serve) -> tuple[str, bool]:
    """The token and whether it was given: in a file, by the environment, or made here where one is asked for."""
    from potency.web.server import new_token

    if options.token_file is not None:
        try:
            found = options.token_file.read_text("utf-8").strip()
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise PotencyError(f"the token cannot be read: {reason}", str(options.token_file),
                               "name a file that holds the token and nothing else") from error  # fmt: skip
        if not found:
            raise PotencyError("the file of the token is empty", str(options.token_file), "write a token into it")
        return found, True
    if found := os.environ.get("POTENCY_TOKEN", "").strip():
        return found, True
    return (new_token() if options.token else ""), False


def added(options: Serve, say: Console) -> dict[str, Any]:
    """Make an account."""
    from potency.web.people import People
    from potency.web.store import Store

    name, _, role = options.add.rpartition(":") if ":" in options.add else (options.add, "", "analyst")
    password = os.environ.get(PASSWORD, "")
    if not password and sys.stdin.isatty():
        password = typer.prompt("password", hide_input=True, confirmation_prompt=True)
    elif not password:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise PotencyError("no password was given", "--add", f"type it, pipe it in, or set {PASSWORD}")
    People(Store(options.into)).add(name, password, role)
    say.print(f"{escape(name)} may come in as {role}")
    return {"name": name, "role": role}
