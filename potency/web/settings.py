"""What a web tool may be told when it starts: where it stands, who may reach it, how much it takes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from potency.errors import PotencyError

GIGA = 2**30


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one visitor may ask for; a lab server may raise any of them (`potency serve --help`)."""

    file: int = 4 * GIGA  # bytes of one uploaded file
    request: int = 8 * GIGA  # bytes of one upload in all
    files: int = 2000  # in one upload, an unpacked archive counted
    unpacked: int = 8 * GIGA  # bytes of an archive's files
    pixels: int = 4 * 10**9  # of one image, all its planes counted
    kept: int = 200 * GIGA  # bytes that one person may keep
    queued: int = 100  # jobs of one person that wait or run
    requests: float = 50.0  # a second from one person, in bursts of ten seconds' worth
    answers: float = 500.0  # a second from one person at /predict.json
    instant: int = 64 * 2**20  # bytes of one request there
    waiting: int = 64  # requests that wait for an answer there; the next is told to come again
    seconds: float = 600.0  # that one request may take to arrive
    free: int = 1 * GIGA  # bytes of the disk that are never used: below it work waits


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One web tool.

    Attributes:
        folder: uploads, jobs, models, accounts; made where it is not there.
        host: address to listen at; all but loopback ask for a token or accounts.
        port: 0 takes a free one.
        names: further host names by which browsers may call it (of a reverse proxy).
        token: whoever opens the page with it is let in as `analyst`; "" where there are accounts, or on loopback.
        accounts: ask for a name and a password.
        workers: processes for long work.
        secure: cookies travel by https only.
        limits: what one visitor may ask for.

    Raises:
        PotencyError: an address that others can reach, and neither token nor accounts.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8765
    names: tuple[str, ...] = ()
    token: str = ""
    accounts: bool = False
    workers: int = 1
    secure: bool = False
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not (self.local or self.token or self.accounts):
            raise PotencyError(
                f"others can reach {self.host}, and nothing asks them who they are",
                "--host",
                "add --token or --accounts, or leave --host out: then only this machine can reach the page",
            )
        if self.token and len(self.token) < 16:
            raise PotencyError("a token of less than 16 characters can be guessed", "--token",
                               "give --token without a value: one is made")  # fmt: skip

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it.

        >>> Settings(folder=Path("w")).local, Settings(folder=Path("w"), host="0.0.0.0", accounts=True).local
        (True, False)
        """
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def open(self) -> bool:
        """Whether nobody is asked who they are: on loopback, without token and accounts."""
        return not (self.token or self.accounts)
