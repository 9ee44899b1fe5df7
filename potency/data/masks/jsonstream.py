"""Reads JSON of any length in little memory: the members of its outermost object one by one, of lists each item."""

from __future__ import annotations

import codecs
import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from potency.errors import AnswerError

PIECE = 2**20  # bytes read at once
LONGEST = 2**28  # characters of one item: an outline of ten million corners
BLANK = " \t\r\n"
SHORT = ('"', "{", "[")  # how an item begins whose end cannot be mistaken
GZIP = b"\x1f\x8b"


class _Text:
    """Text of a file from a place on, of which more is read when it runs out."""

    def __init__(self, file: BinaryIO | gzip.GzipFile, where: str, start: int = 0) -> None:
        self.file, self.where = file, where
        self.bytes, self.counted = start, 0  # what was passed, and up to which sign of `text` it is counted
        self.decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self.text, self.at, self.ended = "", 0, False
        self.parse = json.JSONDecoder(parse_constant=float).raw_decode

    def more(self, size: int = PIECE) -> bool:
        if self.ended:
            return False
        data = self.file.read(size)
        self.ended = not data
        self.place()
        self.counted = 0
        self.text = self.text[self.at :] + self.decode(data, final=self.ended)
        self.at = 0
        return True

    def place(self) -> int:
        """Give how many bytes of the file were passed."""
        self.bytes += len(self.text[self.counted : self.at].encode())
        self.counted = self.at
        return self.bytes

    def peek(self) -> str:
        """Give the next character that is not blank, without passing it; "" at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in BLANK:
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def take(self, signs: str) -> str:
        """Pass the next character, which has to be one of `signs`."""
        found = self.peek()
        if not found or found not in signs:
            raise self.broken()
        self.at += 1
        return found

    def value(self) -> Any:
        """Pass the next value."""
        begins, size = self.peek(), PIECE
        while True:
            try:
                found, end = self.parse(self.text, self.at)
                if begins in SHORT or end < len(self.text) or not self.more():
                    self.at = end
                    return found
            except json.JSONDecodeError as error:
                if len(self.text) - self.at > LONGEST or not self.more(size):
                    short = error.pos >= len(self.text.rstrip(BLANK)) or error.msg.startswith("Unterminated")
                    raise self.broken(short and self.ended) from error
            size = min(2 * size, LONGEST)  # an item of many pieces is tried again only each time its length doubles

    def broken(self, short: bool = False) -> AnswerError:
        if short or (self.ended and self.at >= len(self.text.rstrip(BLANK))):
            return AnswerError("the file is cut short: its JSON does not end", self.where,
                               "copy or export it again")
        near = self.text[self.at : self.at + 40]
        return AnswerError(f"the JSON is damaged near {near!r}", self.where, "copy or export it again")


def members(path: Path) -> Iterator[tuple[str, Any]]:
    """Give (name, value) of the outermost object of a JSON file; (name, item) for each item of a list.

    Of a file that is one list the name is "". Text packed by gzip is unpacked on the way.
    """
    return ((name, value) for name, value, _ in placed(path))


def placed(path: Path) -> Iterator[tuple[str, Any, tuple[int, int]]]:
    """Give what `members` does, and from which byte to which it stands in the file (once unpacked)."""
    with path.open("rb") as file:
        plain = _unpacked(file)
        mark = len(codecs.BOM_UTF8) if plain.read(3) == codecs.BOM_UTF8 else 0
        plain.seek(0)
        text = _Text(plain, str(path), mark)
        if text.take("{[") == "[":
            yield from _items(text, "")
        else:
            yield from _object(text)
        if text.peek():
            raise text.broken()


def _object(text: _Text) -> Iterator[tuple[str, Any, tuple[int, int]]]:
    if text.peek() == "}":
        text.take("}")
        return
    while True:
        if text.peek() != '"':
            raise text.broken()
        name = str(text.value())
        text.take(":")
        if text.peek() == "[":
            text.take("[")
            yield from _items(text, name)
        else:
            start = text.place()
            yield name, text.value(), (start, text.place())
        if text.take(",}") == "}":
            return


def _items(text: _Text, name: str) -> Iterator[tuple[str, Any, tuple[int, int]]]:
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        text.peek()
        start = text.place()
        yield name, text.value(), (start, text.place())
        if text.take(",]") == "]":
            return


def items(path: Path, places: Iterable[tuple[int, int]]) -> Iterator[Any]:
    """Give the values at some places of a file, as `placed` told them."""
    with path.open("rb") as file:
        plain = _unpacked(file)
        for start, stop in places:
            plain.seek(start)
            yield json.loads(plain.read(stop - start))


def _unpacked(file: BinaryIO) -> BinaryIO | gzip.GzipFile:
    packed = file.read(2) == GZIP
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if packed else file
