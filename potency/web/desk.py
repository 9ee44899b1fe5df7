"""Where a reader sits: joins a study by its code, sees one image after the other, and answers each once."""

from __future__ import annotations

import json
import math
import secrets
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from potency.errors import PotencyError
from potency.web.jobs import Missing
from potency.web.store import Row, Store, new_id
from potency.web.studies import DAY, MOST_READERS, Reader, Study, reader_of, study_of

TRIES = 20  # orders of which the one that keeps second showings farthest apart is taken
LONGEST = 24 * 3600.0  # seconds that one image may be said to have taken


@dataclass(frozen=True)
class Said:
    """What the model says of the image that is shown, in a round with the model."""

    answer: str
    probability: float | None
    probabilities: dict[str, float]
    unlike: bool
    map: bool
    error: str = ""


@dataclass(frozen=True)
class Turn:
    """What a reader may know: never a name, a truth, a group, nor what the model says before its round.

    Attributes:
        stage: ready (a round is to be begun), reading, waiting (for the second round), done, closed.
        round, done, of: the round, and how many of its images are answered.
        showing, next: codes of the image that is shown, and of the one after it.
        model: what the model says of it; None in a round without it.
        opens: when the second round may be begun, None where it may be now.
        back: whether the last answer may be taken back.
    """

    stage: str
    round: int
    rounds: int
    done: int
    of: int
    showing: str
    next: str
    back: bool
    assisted: bool
    model: Said | None
    opens: float | None


class Desk:
    """One reader's place in one study; every method is one transaction."""

    def __init__(self, store: Store, study: Study, reader: Reader) -> None:
        self.store, self.study, self.reader = store, study, reader

    @classmethod
    def of(cls, store: Store, code: str, reader: str, person: int) -> Desk:
        """The desk of a reader.

        Raises:
            Missing: there is no such study or reader, or they are another person's.
        """
        study = found(store, code)
        row = store.row("SELECT * FROM readers WHERE id = ? AND study = ? AND person = ?", reader, study.id, person)
        if row is None:
            raise Missing("nobody of that name reads here", "this study", "open the link of the study again")
        return cls(store, study, reader_of(row))

    def turn(self) -> Turn:
        """Where the reader stands."""
        rows = self.store.rows("SELECT * FROM showings WHERE reader = ? ORDER BY round, place", self.reader.id)
        rounds = [[row for row in rows if row["round"] == round] for round in range(1, self.study.rounds + 1)]
        at = next((place for place, some in enumerate(rounds) if any(r["time"] is None for r in some)), None)
        begun: list[float] = self.reader.facts.get("begun", [])
        stage, opens = "reading", None
        if at is None:
            stage, at = "done", self.study.rounds - 1
        elif len(begun) <= at:
            stage = "ready"
            if at and (opens := self._opens(rounds[at - 1])) is not None:
                stage = "waiting"
        if self.study.state == "closed":
            stage = "closed"
        round, own = at + 1, rounds[at]
        left = [row for row in own if row["time"] is None] if stage == "reading" else []
        assisted = round == 2 and bool(self.study.facts.get("model"))
        return Turn(
            stage, round, self.study.rounds, sum(row["time"] is not None for row in own), len(own),
            left[0]["code"] if left else "", left[1]["code"] if len(left) > 1 else "",
            self._back(rows, stage) is not None, assisted, self._said(left[0]) if left and assisted else None, opens,
        )  # fmt: skip

    def begin(self, round: int) -> None:
        """Begin a round; a second click begins nothing more.

        Raises:
            PotencyError: it is not its turn yet.
        """
        turn, begun = self.turn(), list(self.reader.facts.get("begun", []))
        if len(begun) >= round:
            return
        if turn.stage != "ready" or turn.round != round:
            raise PotencyError("this round cannot be begun now", f"round {round}", "load the page again")
        facts = self.reader.facts | {"begun": [*begun, time.time()]}
        self.store.change("UPDATE readers SET facts = ? WHERE id = ?", json.dumps(facts), self.reader.id)

    def answer(self, showing: str, answer: str, confidence: int | None, seconds: float) -> bool:
        """Take an answer to the image that is shown; "" is "cannot tell". Whether it was taken.

        An image answered already, in another tab or by a second press, stays as it was answered: False.

        Raises:
            PotencyError: no such class or number, the study is closed. Missing: the image is not this reader's.
        """
        word, sure = self._checked(answer), None if confidence is None else min(5, max(1, confidence))
        spent = min(max(seconds, 0.0), LONGEST) if math.isfinite(seconds) else 0.0
        with self.store.writing() as base:
            (state,) = base.execute("SELECT state FROM studies WHERE id = ?", (self.study.id,)).fetchone() or ("gone",)
            if state != "open":
                raise PotencyError("the study is closed: no answer is taken any more", self.study.title,
                                   "thank you for reading")  # fmt: skip
            row = base.execute("SELECT round, place, time, back FROM showings WHERE code = ? AND reader = ?",
                               (showing, self.reader.id)).fetchone()  # fmt: skip
            if row is None or row["round"] > len(self.reader.facts.get("begun", [])):
                raise Missing("there is no such image", showing[:40], "load the page again")
            first = base.execute("SELECT min(place) FROM showings WHERE reader = ? AND round = ? AND time IS NULL",
                                 (self.reader.id, row["round"])).fetchone()[0]  # fmt: skip
            if row["time"] is not None or first != row["place"]:
                return False
            base.execute("UPDATE showings SET answer = ?, confidence = ?, seconds = seconds + ?, time = ?, back = 0, "
                         "changes = changes + back WHERE code = ?",
                         (word, sure, spent, time.time(), showing))  # fmt: skip
        return True

    def back(self) -> bool:
        """Take the last answer back, one step: it is asked again, and its seconds go on counting."""
        rows = self.store.rows("SELECT * FROM showings WHERE reader = ? ORDER BY round, place", self.reader.id)
        last = self._back(rows, self.turn().stage)
        if last is None or self.study.state != "open":
            return False
        return bool(self.store.change("UPDATE showings SET time = NULL, back = 1 WHERE code = ? AND time IS NOT NULL",
                                      last["code"]))  # fmt: skip

    def image(self, showing: str) -> int:
        """The number of an image that may be fetched now: the one shown, and the next one, ahead of time.

        Raises:
            Missing: it is not this reader's, or not its turn.
        """
        turn = self.turn()
        if showing and showing in (turn.showing, turn.next):
            row = self.store.row("SELECT image FROM showings WHERE code = ?", showing)
            if row is not None:
                return int(row["image"])
        raise Missing("this image is not shown now", "the picture", "load the page again")

    def _opens(self, before: list[Row]) -> float | None:
        opens = max((row["time"] or 0.0) for row in before) + DAY * float(self.study.facts.get("washout", 0))
        return opens if opens > time.time() else None

    def _back(self, rows: list[Row], stage: str) -> Row | None:
        """The answer that may be taken back: the last one of the round that is under way, once."""
        round = len(self.reader.facts.get("begun", []))
        own = [row for row in rows if row["round"] == round]
        given = [row for row in own if row["time"] is not None]
        if stage not in ("reading", "done", "ready", "waiting") or not given or any(row["back"] for row in own):
            return None
        return given[-1]

    def _said(self, row: Row) -> Said:
        query = "SELECT told FROM study_images WHERE study = ? AND number = ?"
        told = json.loads((self.store.row(query, self.study.id, row["image"]) or {"told": "{}"})["told"])
        if "answer" not in told:
            return Said("", None, {}, False, False, str(told.get("error", "the model gave no answer")))
        probabilities = {name: p for name, p in told.get("probabilities", {}).items() if p is not None}
        return Said(str(told["answer"]), probabilities.get(told["answer"]), probabilities, bool(told.get("unlike")),
                    bool(told.get("map")) and bool(self.study.facts.get("maps")))  # fmt: skip

    def _checked(self, answer: str) -> str | None:
        text = answer.strip()
        if not text:
            return None
        if self.study.classes:
            if text not in self.study.classes:
                raise PotencyError(f"there is no class {text[:40]!r}", "the answer", "press the key of a class")
            return text
        try:
            value = float(text.replace(",", "."))
        except ValueError:
            value = math.nan
        low, high = self.study.facts.get("low"), self.study.facts.get("high")
        if not math.isfinite(value) or (low is not None and value < low) or (high is not None and value > high):
            ends = ((" from", low), (" to", high))
            asked = "a number" + "".join(f"{word} {end:g}" for word, end in ends if end is not None)
            raise PotencyError(f"{text[:40]!r} is not {asked}", "the answer", f"give {asked}")
        return repr(value)


def found(store: Store, code: str) -> Study:
    """A study by the code that readers were given.

    Raises:
        Missing: there is none, or it is not ready.
    """
    row = store.row("SELECT * FROM studies WHERE code = ? AND state != 'preparing'", code.strip().lower())
    if row is None:
        raise Missing("there is no study of that code", "the code", "look at the code again, or ask who gave it")
    return study_of(row)


def joined(store: Store, study: Study, person: int, name: str, facts: dict[str, Any]) -> Reader:
    """Sit down at a study; whoever comes again under the same name goes on where they stopped.

    Raises:
        PotencyError: no name, the name is another person's, the study is closed, too many readers.
    """
    name = name.strip()
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise PotencyError("a reader's name has 1 to 64 characters", "name", "give a name or initials")
    row = store.row("SELECT * FROM readers WHERE study = ? AND name = ?", study.id, name)
    if row is not None:
        if row["person"] != person:
            raise PotencyError("another person reads under that name", "name", "choose another name")
        return reader_of(row)
    if study.state != "open":
        raise PotencyError("the study is closed", study.title, "ask who made it")
    id, random = new_id(), np.random.default_rng(secrets.randbits(64))
    numbers = [row["number"] for row in store.rows("SELECT number FROM study_images WHERE study = ?", study.id)]
    twice = set(study.facts.get("repeated", ()))
    shown = [(secrets.token_hex(8), id, round, place, image, int(again)) for round in range(1, study.rounds + 1)
             for place, (image, again) in enumerate(order(numbers, twice, random))]  # fmt: skip
    with store.writing() as base:
        (many,) = base.execute("SELECT count(*) FROM readers WHERE study = ?", (study.id,)).fetchone()
        if many >= MOST_READERS:
            raise PotencyError(f"{many} people read here already", study.title, "ask who made the study")
        base.execute("INSERT INTO readers (id, study, person, name, created, facts) VALUES (?, ?, ?, ?, ?, ?) "
                     "ON CONFLICT (study, name) DO NOTHING",
                     (id, study.id, person, name, time.time(), json.dumps(facts)))  # fmt: skip
        if base.execute("SELECT 1 FROM readers WHERE id = ?", (id,)).fetchone():
            base.executemany("INSERT INTO showings (code, reader, round, place, image, again) "
                             "VALUES (?, ?, ?, ?, ?, ?)", shown)  # fmt: skip
    return joined(store, study, person, name, facts)


def order(numbers: list[int], twice: set[int], random: np.random.Generator) -> list[tuple[int, bool]]:
    """Images in random order, (number, whether for the second time); second showings are far from the first.

    >>> made = order([0, 1, 2, 3, 4], {0, 3}, np.random.default_rng(1))
    >>> sorted(number for number, again in made), [number for number, again in made if again] in ([0, 3], [3, 0])
    ([0, 0, 1, 2, 3, 3, 4], True)
    """
    best: tuple[int, list[tuple[int, bool]]] = (-1, [])
    for _ in range(TRIES if twice else 1):
        keys = [(random.uniform(0, 0.4 if one in twice else 1), one, False) for one in numbers]
        keys += [(random.uniform(0.6, 1), one, True) for one in numbers if one in twice]
        made = [(one, again) for _, one, again in sorted(keys)]
        places = {(one, again): place for place, (one, again) in enumerate(made)}
        gap = min((places[one, True] - places[one, False] for one in numbers if one in twice), default=len(made))
        best = max(best, (gap, made), key=lambda pair: pair[0])
    return best[1]
