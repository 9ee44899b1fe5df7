"""The rules by which the controls speak: which outcome is called what, in a few plain sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from potency.evaluation.wording import figure, known, spoken
from potency.reliance.alterations import KEPT, MIXED, REMOVED
from potency.reliance.beyond import strongest

if TYPE_CHECKING:
    from potency.reliance.result import Controls, Row

SURVIVES, FALLS = 0.75, 0.25  # of what the untouched images give beyond guessing
STRONG = 0.2  # size of a partial correlation worth a sentence


def kept(row: Row, untouched: float, chance: float) -> float:
    """The share of the gain over guessing that is left; 1 is all of it, 0 none.

    >>> from potency.reliance.result import Row
    >>> from potency.evaluation.results import Interval
    >>> kept(Row("phases", "phases mixed", "mixed", Interval(0.6), None, None, 9), 0.9, 0.5).__round__(2)
    0.25
    """
    gain = untouched - chance
    return (row.figure.value - chance) / gain if abs(gain) > 1e-9 else 0.0


def clear(found: Controls) -> bool:
    """Whether the network is better than guessing at all: its interval lies on the good side of chance."""
    whole, chance = found.untouched, found.chance
    if whole is None or chance is None or whole.low is None or whole.high is None:
        return whole is not None and chance is not None and better(found) * (whole.value - chance) > 0
    return whole.low > chance if better(found) > 0 else whole.high < chance


def better(found: Controls) -> int:
    """1 where a higher headline is better, else -1."""
    return -1 if found.metric in ("mae", "rmse") else 1


def verdict(found: Controls) -> list[str]:
    """All sentences, the most telling first."""
    said: list[str] = []
    if found.report is not None and found.untouched is not None and found.chance is not None:
        name = known(found.metric)[0].lower()
        guess = figure(found.chance, 2, unit=True)
        start = f"Untouched images give a {name} of {spoken(found.untouched, found.metric)}; guessing gives {guess}"
        if not clear(found):
            nothing = f"{start}. The network is not shown to beat guessing here: there is nothing to take away."
            return [nothing, *_numbers(found)]
        said += [*_mixed(found), f"{start}.", *_bands(found)]
    return said + _numbers(found) + _beyond(found)


def _mixed(found: Controls) -> list[str]:
    assert found.untouched is not None and found.chance is not None
    rows = {row.name: row for row in found.altered(MIXED)}
    said = []
    if "phases" in rows:
        row = rows["phases"]
        share = kept(row, found.untouched.value, found.chance)
        told = spoken(row.figure, found.metric)
        if share >= SURVIVES:
            said.append(f"Arrangement hardly matters: with phases mixed the score is still {told}. The power spectrum "
                        "(coarseness, contrast, blur) suffices: nothing here shows that morphology was read.")
        elif share <= FALLS:
            said.append("Arrangement matters: with phases mixed, and the power spectrum kept, the score falls to "
                        f"{told}.")
        else:
            said.append(f"The spectrum is part of it: with phases mixed the score is {told}, {100 * share:.0f} % of "
                        "what the untouched images give beyond guessing.")
    tiles = [row for name, row in rows.items() if name.startswith("tiles-")]
    whole = [row for row in tiles if kept(row, found.untouched.value, found.chance) >= SURVIVES]
    if tiles and whole:
        said.append(f"Small pieces suffice: even {whole[-1].title} leave {spoken(whole[-1].figure, found.metric)}.")
    elif tiles:
        said.append(f"It needs more than pieces: {tiles[0].title} leave {spoken(tiles[0].figure, found.metric)}.")
    return said


def _bands(found: Controls) -> list[str]:
    unit = "cycles per µm" if found.facts.get("pixel_size") else "cycles per pixel"
    said = []
    gone = [row for row in found.altered(REMOVED) if row.difference is not None]
    if gone:
        worst = min(gone, key=lambda row: better(found) * row.figure.value)
        assert worst.difference is not None
        sure = worst.difference.low is not None and worst.difference.high is not None and (
            worst.difference.low * worst.difference.high > 0)  # fmt: skip
        said.append(
            f"Most is lost without the octave {worst.title} {unit}: {worst.difference} against the untouched images."
            if sure else "No single octave is missed: whichever is removed, the loss is not shown to differ from zero.")
    alone = found.altered(KEPT)
    if alone and found.untouched is not None and found.chance is not None:
        best = max(alone, key=lambda row: better(found) * row.figure.value)
        share = kept(best, found.untouched.value, found.chance)
        said.append(f"By itself the octave {best.title} {unit} tells most: {spoken(best.figure, found.metric)}, "
                    f"{100 * max(0.0, share):.0f} % of the gain over guessing.")  # fmt: skip
    return said


def _numbers(found: Controls) -> list[str]:
    rows = [row for row in found.ones() if row.name != "all-numbers"]
    if not rows:
        return []
    best = rows[0]
    start = f"The best single number is {best.title}: {spoken(best.figure, found.metric)}"
    if found.report is None or best.difference is None or best.difference.low is None or best.difference.high is None:
        return [f"{start}."]
    ahead = better(found) * best.difference.value
    if found.untouched is not None and found.chance is not None and clear(found):
        share = 100 * max(0.0, kept(best, found.untouched.value, found.chance))
        start += f", {share:.0f} % of what the network gains over guessing"
    if best.difference.low <= 0 <= best.difference.high:
        return [f"{start}. The network is NOT shown to be better than this one number ({best.difference})."]
    return [f"{start}; the network is {'better' if ahead < 0 else 'WORSE'} ({best.difference} for the number)."]


def _beyond(found: Controls) -> list[str]:
    strong = [
        one for one in strongest(found.beyond)
        if abs(one.given_truth.value) >= STRONG and one.given_truth.low is not None
        and one.given_truth.high is not None and one.given_truth.low * one.given_truth.high > 0
    ]  # fmt: skip
    if not strong:
        return []
    strong.sort(key=lambda one: -abs(one.given_truth.value))
    told = ", ".join(f"{one.number} ({one.given_truth.value:+.2f})" for one in strong[:3])
    return [f"Among images of one truth the network's score still goes with {told}: it weighs that itself, or what "
            "comes with it."]  # fmt: skip
