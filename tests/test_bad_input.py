"""The whole list of bad inputs: each is refused in words that help, or survived; the page says what is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from bad_case import Case, Told, told
from bad_inputs import AREAS, ITEMS, PAGE, page, row
from bad_options import COMMANDS, EVERYWHERE, given

from potency.errors import PotencyError

SEEN: dict[int, Told] = {}
CASES = [pytest.param(case, id=f"{area}-{case.item}-{case.given}") for area, cases in AREAS.items() for case in cases]


def outcome(case: Case, folder: Path) -> Told | None:
    """What the program says to a case, tried once; None where this machine cannot try it."""
    if id(case) not in SEEN and not case.needs:
        SEEN[id(case)] = told(case, folder)
    return SEEN.get(id(case))


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused_in_words_that_help_or_survived(case: Case, tmp_path: Path) -> None:
    seen = outcome(case, tmp_path)
    if seen is None:
        pytest.skip(case.needs)
    assert case.says and case.says in seen.what
    assert case.mend in seen.mend and bool(case.mend) == bool(seen.mend), seen
    assert case.where in seen.where and bool(case.mend) == bool(seen.where), seen


@pytest.mark.parametrize("fault", EVERYWHERE)
@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words.split()[0])
def test_what_no_command_can_work_with_is_refused_before_anything_is_written(
    words: str, fault: str, tmp_path: Path
) -> None:
    spoil, says, where = EVERYWHERE[fault]
    if fault == "a damaged bundle" and "CLASSES" not in words:
        pytest.skip("this one takes no bundle")
    with pytest.raises(PotencyError, match=says) as caught:
        given(words, {}, spoil)(tmp_path)
    assert where in caught.value.where and caught.value.mend
    assert not [path for path in tmp_path.rglob("out/**/*") if path.is_file() and path.name != ".lock"]


def test_every_item_of_the_list_has_a_case() -> None:
    assert {area: set(items) for area, items in ITEMS.items()} == {
        area: {case.item for case in cases} for area, cases in AREAS.items()
    }
    named = [(area, case.item, case.given) for area, cases in AREAS.items() for case in cases]
    assert len(named) == len(set(named))


def test_the_page_says_what_the_program_says(tmp_path_factory: pytest.TempPathFactory) -> None:
    made = page(lambda case: outcome(case, tmp_path_factory.mktemp("case")))
    untried = [row(case, None) for cases in AREAS.values() for case in cases if case.needs]
    lines, written = ([line for line in text.splitlines() if line not in untried]
                      for text in (made, PAGE.read_text("utf-8")))  # fmt: skip
    fresh = [line for line in lines if line not in written]
    assert not fresh, "python tests/bad_inputs.py --write\n" + "\n".join(fresh)
    assert len(lines) == len(written) or any(case.needs for cases in AREAS.values() for case in cases)
