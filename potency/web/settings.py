"""What a web tool may be told when it starts: where it stands, who may reach it, how much it takes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from pathlib import Path

from potency.errors import PotencyError, nearest

GIGA = 2**30


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one visitor may ask for; a lab server may raise any of them (`potency serve --limits`)."""

    file: int = 4 * GIGA  # bytes of one uploaded file
    request: int = 8 * GIGA  # bytes of one upload in all
    files: int = 2000  # of one set, those of archives counted
    parts: int = 50_000  # entries of one archive, the chunks of OME-Zarr counted
    unpacked: int = 8 * GIGA  # bytes of the files of one upload's archives
    pixels: int = 4 * 10**9  # of one image, all its planes counted
    kept: int = 200 * GIGA  # bytes that one person may keep
    queued: int = 100  # jobs of one person that wait or run
    requests: float = 50.0  # a second from one person, in bursts of ten seconds' worth
    answers: float = 500.0  # a second from one person at /predict.json
    instant: int = 64 * 2**20  # bytes of one request there
    waiting: int = 64  # requests that wait for an answer there; the next is told to come again
    seconds: float = 30.0  # that one request may take to arrive, and more for what has come:
    pace: float = 64 * 2**10  # bytes a second at least
    connections: int = 512  # of all visitors at once
    each: int = 128  # connections of one address, unless it is a proxy or this machine
    logged: float = 730.0  # days that lines of the audit log are kept
    free: int = 1 * GIGA  # bytes of the disk that are never used: below it work waits


    def but(self, words: str) -> Limits:
        """These limits with others in their place, as `file=8G,files=5000`; K, M, G and T are powers of 1024.

        >>> Limits().but("file=8G, files=5000").file == 8 * 2**30, Limits().but("seconds=0.5").seconds
        (True, 0.5)

        Raises:
            PotencyError: no such limit, or no number above 0.
        """
        changed: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in words.split(","))):
            name, _, value = (each.strip() for each in part.partition("="))
            if name not in self.__dataclass_fields__:
                mend = nearest(name, self.__dataclass_fields__)
                raise PotencyError(f"there is no limit {name!r}", "--limits", mend)
            kind = type(getattr(self, name))
            power = 1024 ** ("KMGT".find(value[-1:].upper() or "-") + 1)
            try:
                number = kind(value[:-1] if power > 1 else value) * power
            except ValueError:
                number = 0
            if not 0 < number < 2**62 and not (name == "free" and value == "0"):
                raise PotencyError(f"{name}={value} is no number above 0", "--limits", f"for example {name}=5")
            changed[name] = number
        return replace(self, **changed)  # type: ignore[arg-type]


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
        proxies: addresses of reverse proxies, whose word on where a request came from is believed.
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
    proxies: tuple[str, ...] = ()
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
        for address in self.proxies:
            try:
                ipaddress.ip_address(address)
            except ValueError:
                raise PotencyError(f"{address[:80]!r} is no address", "--proxy",
                                   "give the address from which it connects, as 127.0.0.1") from None  # fmt: skip

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
