"""The rules by which the audit speaks: which outcome of which test is called what, in one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from potency.confounding.exchange import FEWEST, WITHIN
from potency.confounding.suspects import BACKGROUND, BIOLOGICAL, MEASURED, TECHNICAL
from potency.evaluation.results import Interval
from potency.evaluation.wording import chance

LEVEL = 0.05  # family-wise: over all suspects together
TELLING = 0.60  # pairs put in the right order from which a suspect could explain a model; chance is .5
MARKS = ("bad", "caution", "unknown", "good")  # the worst of a report first
LABEL, EMBEDDING = "label", "embedding"


@dataclass(frozen=True)
class Rule:
    """One rule: its code, when it holds, what is then said, and how grave that is."""

    code: str
    when: str
    said: str
    mark: str


RULES = (
    Rule("inseparable", "a class stands on one plate (day, donor ...) alone, and no other class does",
         "the two cannot be told apart: no analysis can separate them", "bad"),
    Rule("nested", "each plate (day, donor ...) holds one class only, and several groups share one",
         "the split by group does not separate them: split by the plate", "bad"),
    Rule("shortcut", "a technical column, or what lies at a fixed place outside the cell, tells the label: family-wise "
         f"p <= {LEVEL} and at least {TELLING:.0%} of pairs in the right order",
         "a model may have learned this instead of the cells", "bad"),
    Rule("carried", "a shortcut, or what cannot be told apart from the label, can be read from the embedding given the "
         "class, by the same two bounds", "the network has learned it", "bad"),
    Rule("origin", "a biological column (donor, sex, line ...) tells the label, by the same two bounds",
         "biology or a shortcut: test on donors (lines ...) that were not learned from", "caution"),
    Rule("unnamed", "a column nobody knows tells the label, by the same two bounds",
         "find out whether it was known before the label", "caution"),
    Rule("picture", "level, focus or file size of the whole picture tells the label, by the same two bounds",
         "the cells themselves may do that: look at the pictures", "caution"),
    Rule("known", "a column can be read from the embedding given the class, and does not tell the label",
         "harmless here, not where the column goes with the label", "caution"),
    Rule("weak", f"beyond chance (family-wise p <= {LEVEL}), but fewer than {TELLING:.0%} of pairs",
         "it is there, and too weak to explain a model", "caution"),
    Rule("undecided", f"at least {TELLING:.0%} of pairs and p <= {LEVEL} by itself, but with so few groups hardly any "
         "p could stand among so many suspects", "neither shown nor excluded: more groups are needed", "caution"),
    Rule("groups-unknown", "every image counts as its own group", "related images make every p too small", "caution"),
    Rule("one-class-a-group", "each group holds one class", "whatever groups differ in may be what is learned: only "
         "groups that were never seen can tell", "caution"),
    Rule("untested", f"too few groups (fewer than {FEWEST}, or too few ways to deal their labels), or it is the groups "
         "in other words", "nothing can be said", "unknown"),
    Rule("nothing", "none of this", "no better than chance", "good"),
)  # fmt: skip
RULE = {rule.code: rule for rule in RULES}
CODES = {TECHNICAL: "shortcut", BACKGROUND: "shortcut", BIOLOGICAL: "origin", MEASURED: "picture"}


@dataclass(frozen=True)
class Row:
    """One suspect asked for one thing (the label, or from the embedding): what was found, and the rule that applies.

    `pairs` is how often it puts two images in the right order, learned on other groups (.5 is chance); `p` is the
    permutation's by itself, `family` that of all suspects together; None where it could not be asked.
    """

    suspect: str
    kind: str
    asked: str
    level: str
    rule: str
    told: str
    pairs: Interval | None = None
    p: float | None = None
    family: float | None = None

    @property
    def mark(self) -> str:
        """How grave: "bad", "caution", "unknown" or "good"."""
        return RULE[self.rule].mark


@dataclass(frozen=True)
class Fault:
    """What is wrong with the design itself, whatever the pictures show: a rule's code, what, and how to mend it."""

    rule: str
    what: str
    mend: str
    about: str = ""

    @property
    def mark(self) -> str:
        """How grave."""
        return RULE[self.rule].mark


def rule_of(
    kind: str, asked: str, chances: tuple[float, float], pairs: Interval, *, shortcut: bool = False, few: bool = False
) -> str:
    """The code of the rule that holds for the outcome of a test; `chances` are its p by itself and of all together.

    `shortcut`: the suspect tells the label; `few`: so few exchanges that hardly any p could stand the correction.
    """
    alone, family = chances
    if family > LEVEL:
        return "undecided" if few and alone <= LEVEL and pairs.value >= TELLING else "nothing"
    if pairs.value < TELLING:
        return "weak"
    if asked == EMBEDDING:
        return "carried" if shortcut else "known"
    return CODES.get(kind, "unnamed")


def told(rule: str, name: str, level: str, pairs: Interval, family: float) -> str:
    """The outcome as a sentence."""
    if rule == "nothing":
        return f"{RULE[rule].said} ({chance(family)} over all suspects)"
    two = "two images of one group" if level == WITHIN else "two images of different groups"
    order = f"of 100 times {two} and different answers it puts {100 * pairs.value:.0f} in the right order"
    return f"{order} ({chance(family)} over all suspects): {RULE[rule].said}"


def worst(marks: Sequence[str]) -> str:
    """The gravest of several marks; "unknown" of none."""
    return min(marks, key=MARKS.index, default="unknown")


def verdict(rows: Sequence[Row], faults: Sequence[Fault]) -> str:
    """The whole audit in one or two plain sentences, by the rules alone."""
    said = [fault.what[:1].upper() + fault.what[1:] + "." for fault in faults if fault.mark == "bad"]
    if any(row.rule == "shortcut" and row.kind == BACKGROUND for row in rows):
        said.append("A shortcut is in the pictures: what lies at fixed places outside the cells tells the label, so a "
                    "model need not have looked at the cells.")  # fmt: skip
    written = [row.suspect for row in rows if row.rule == "shortcut" and row.kind != BACKGROUND]
    if written:
        does, names = "tells" if len(written) == 1 else "tell", joined(written)
        said.append(f"{names[:1].upper()}{names[1:]} alone {does} the label: whatever shows it in a picture may have "
                    "been learned instead of the cells.")  # fmt: skip
    carried = [row.suspect for row in rows if row.rule == "carried"]
    if carried:
        said.append(f"The network has learned it: {joined(carried)} can be read from its embedding.")
    asked = [row for row in rows if row.asked == LABEL and row.family is not None]
    if not said and not asked:
        return "Nothing could be tested: there are too few groups, or no suspects beside them."
    undecided = [row.suspect for row in asked if row.rule == "undecided"]
    if undecided:
        said.append(f"There are too few groups to tell: {joined(undecided)} may tell the label, and no p could be "
                    "small enough to show it.")  # fmt: skip
    if not said:
        said.append(f"No shortcut was found: of {len(asked)} suspect{'s' * (len(asked) > 1)} none that belongs to the "
                    "microscope or the plate tells the label.")  # fmt: skip
    careful = [row.suspect for row in rows if row.rule in ("origin", "unnamed", "picture")]
    if careful:
        said.append(f"Look at {joined(careful)}: biology may be why {'it goes' if len(careful) == 1 else 'they go'} "
                    "with the label, or not.")  # fmt: skip
    return " ".join(said)


def joined(names: Sequence[str], most: int = 4) -> str:
    """Names as a phrase.

    >>> joined(["plate"]), joined(["plate", "day", "time"])
    ('plate', 'plate, day and time')
    """
    names = list(dict.fromkeys(names))
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
