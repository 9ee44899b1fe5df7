"""How a verb becomes a command: its options are a dataclass, its faults are three lines and exit code 2."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer
from rich.console import Console
from rich.markup import escape
from typer.models import ArgumentInfo

from potency.errors import PotencyError

Answer = Mapping[str, Any] | Sequence[Any] | None
INTERRUPTED = 130
WIDTH = 120  # columns of what is written to a file or a pipe


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every command takes; a command adds fields of its own in a subclass."""

    json: Annotated[
        bool, typer.Option("--json", help="End with one line of JSON on stdout; all else goes to stderr.")
    ] = False

    def line(self, name: str) -> str:
        """The command as it would be typed, without what is left as it was: what a report states."""
        hints = get_type_hints(type(self), include_extras=True)
        words, flags = ["potency", name], []
        for field in fields(self):
            value = getattr(self, field.name)
            if value == field.default:
                continue
            several = [str(each) for each in (value if isinstance(value, list) else [value])]
            flag = "--" + field.name.replace("_", "-")
            if isinstance(hints[field.name].__metadata__[0], ArgumentInfo):
                words += several
            elif isinstance(value, bool):
                flags.append(flag if value else flag.replace("--", "--no-", 1))
            else:
                flags += [word for each in several for word in (flag, each)]
        return shlex.join([*words, *flags])


O = TypeVar("O", bound=Options)  # noqa: E741
Verb = Callable[[O, Console], Answer]


class Failed(Exception):
    """A command that has answered in full and yet must not leave with 0: the answer is printed, then the error."""

    def __init__(self, answer: Answer, error: PotencyError) -> None:
        super().__init__(str(error))
        self.answer, self.error = answer, error


def command(app: typer.Typer, *shown: tuple[str, str], again: str = "") -> Callable[[Verb[O]], Verb[O]]:
    """Register `verb(options, say)` under its own name; `shown` are (arguments, what they do) for the help.

    `say` is the console people read: stdout, or stderr under --json. What the verb returns is the answer for machines.
    `again` tells, after Ctrl-C, how to go on.
    """

    def register(verb: Verb[O]) -> Verb[O]:
        options = get_type_hints(verb)["options"]
        hints = get_type_hints(options, include_extras=True)

        def call(**words: Any) -> None:
            chosen = options(**words)
            say = Console(stderr=chosen.json, highlight=False)
            if not say.is_terminal:  # a file has no width of its own; tables need some
                say.width = max(say.width, WIDTH)
            refuse_place(getattr(chosen, "into", None))
            try:
                answer = verb(chosen, say)
            except Failed as failed:
                _emit(failed.answer, chosen.json)
                raise failed.error from None
            except KeyboardInterrupt:
                print("\nstopped" + (f"; {again}" if again else ""), file=sys.stderr)
                raise typer.Exit(INTERRUPTED) from None
            _emit(answer, chosen.json)

        name = verb.__name__.rstrip("_")
        call.__annotations__ = hints
        call.__signature__ = Signature(  # type: ignore[attr-defined]
            [
                Parameter(
                    field.name,
                    Parameter.KEYWORD_ONLY,
                    default=Parameter.empty if field.default is MISSING else field.default,
                    annotation=hints[field.name],
                )
                # The shared fields of base classes come last, where help is read for what is special first.
                for field in sorted(fields(options), key=lambda f: f.name in Options.__dataclass_fields__)
            ]
        )
        named = ((f"{name} {words}", what) for words, what in shown)
        app.command(name, help=verb.__doc__, epilog=examples(*named))(call)
        return verb

    return register


def refuse_place(into: Path | None) -> None:
    """PotencyError for a place that nothing can be written to, before anything is worked on."""
    if into is None:
        return
    try:
        there = next(place for place in (into, *into.parents) if place.exists())
        fault = "" if there.is_dir() or (there == into and into.suffix) else f"{there.name!r} is a file, no folder"
        fault = fault or ("" if os.access(there, os.W_OK) else "it may not be written to")
    except OSError as error:
        fault = str(error.strerror or error)
    if fault:
        raise PotencyError(f"nothing can be written here: {fault}", str(into), "choose another --into")


def examples(*shown: tuple[str, str]) -> str:
    """The end of a help page: how the command is called, and what that does."""
    lines = [f"[cyan]potency {escape(words)}[/cyan]\n    {escape(what)}" for words, what in shown]
    return "\n".join(["[bold]Examples[/bold]", *lines])


def _emit(answer: Answer, as_json: bool) -> None:
    if as_json and answer is not None:
        print(json.dumps(plain(answer), ensure_ascii=False, allow_nan=False), flush=True)


def plain(value: Any) -> Any:
    """The same answer in the types of JSON: paths as text, records as objects, NumPy numbers as numbers, NaN as null.

    >>> plain({"where": Path("a") / "b", "size": (1, 2), "gap": float("nan")})
    {'where': 'a/b', 'size': [1, 2], 'gap': None}
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):  # NumPy arrays and scalars
        return plain(value.tolist())
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    return (
        value
        if isinstance(value, bool | int | str | None)
        else value.as_posix()
        if isinstance(value, Path)
        else str(value)
    )


def three_lines(what: str, where: str, mend: str) -> str:
    """What is wrong, where, how to mend it: always three lines, whatever a message contains."""
    return "\n".join(" ".join(line.split()) for line in (what, f"where: {where}", f"mend: {mend}"))


def run(app: typer.Typer, arguments: Sequence[str]) -> int:
    """Run the command line on `arguments`; the exit code: 0, 2 (bad input, three lines), 130 (Ctrl-C)."""
    named = next((word for word in arguments if not word.startswith("-")), "")
    asked = f"potency {named}".strip()
    known = {c.name for c in app.registered_commands}
    hint = f"see `{asked if named in known else 'potency'} --help`"
    try:
        code = app(args=list(arguments), prog_name="potency", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except PotencyError as error:
        told = (error.what, error.where or asked, error.mend or hint)
    except typer.TyperException as error:
        told = (_sentence(error.format_message()), asked, hint)
    except typer.Abort:
        return INTERRUPTED
    except (OSError, MemoryError) as error:
        told = _of_the_machine(error, asked)
    print(three_lines(*told), file=sys.stderr)
    return 2


def _sentence(message: str) -> str:
    return re.sub(r"\s+", " ", message).strip().rstrip(".") or "the command line cannot be understood"


def _of_the_machine(error: OSError | MemoryError, asked: str) -> tuple[str, str, str]:
    if isinstance(error, MemoryError):
        return (
            "the memory of this machine is used up",
            asked,
            "close other programs, or use fewer --workers or a smaller batch",
        )
    mends = {
        "FileNotFoundError": "check the path",
        "FileExistsError": "choose another --into",
        "PermissionError": "choose a place that you may read and write, or change its permissions",
        "IsADirectoryError": "name a file, not a folder",
        "NotADirectoryError": "name a folder, not a file",
    }
    mend = mends.get(
        type(error).__name__, "make room on the disk, or choose another --into; `potency doctor` shows what is free"
    )
    what = error.strerror or str(error) or type(error).__name__
    return what[:1].lower() + what[1:], str(error.filename or asked), mend
