"""What a map says on its face: shares of what it accounts for, what its tests say, red for and blue against."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from potency.explanation import faithful
from potency.explanation.account import shares_of
from potency.explanation.picture import coloured, face


def test_a_face_says_when_less_than_half_reached_the_image() -> None:
    cells = {"label": "G1", "score": 2.0, "empty": 0, "input": 0.8, "bias": 1.2, "absorbed": 0.0, "deletion": -0.1}
    told = face(cells)
    assert told[1:3] == ["beyond an empty image +2.00: input 40 %, bias 60 %, absorbed 0 %",
                         "less than half of that reached the image"] and "NO BETTER than chance" in told[-1]
    assert len(face({**cells, "input": 1.2, "bias": 0.8})) == len(told) - 1


def test_shares_are_of_what_a_score_is_beyond_that_of_an_empty_image() -> None:
    """Log-odds may well be near 0: that is no score to take shares of."""
    cells = {"label": "G1", "score": -0.1, "empty": -1.6, "input": 1.53, "bias": -1.63, "absorbed": 0.0}
    assert face(cells)[1:] == ["beyond an empty image +1.50: input 102 %, bias -2 %, absorbed 0 %"]
    assert face({**cells, "empty": -0.2, "bias": -1.63, "absorbed": -1e-6})[1:] == [
        "beyond an empty image +0.10: input +1.53, bias -1.43, absorbed +0.00",
        "these cancel, so they are told in units of the score and not in per cent",
    ]
    rows = pd.DataFrame([cells, {**cells, "empty": -0.2}, {**cells, "empty": -0.1}]).add_prefix("explanation.")
    found = shares_of(rows)
    assert list(found) == ["input", "bias", "absorbed"] and list(found["input"].isna()) == [False, True, True]
    assert found.loc[0].sum() == pytest.approx(1)


def test_red_speaks_for_an_answer_and_blue_against_it() -> None:
    grey, values = np.full((2, 3), 100, np.uint8), np.array([[1, 0, -1], [1, 0, -1]], np.float32)
    red, plain, blue = coloured(grey, values)[0].astype(int)
    assert red[0] > red[2] and blue[2] > blue[0] and list(plain) == [100, 100, 100]


def test_what_fails_is_said_in_words() -> None:
    good, bad, none = (np.full(8, value, np.float32) for value in (0.2, 0.0, 0.0))
    assert faithful.failing(good, good, good * 4, none) == []
    told = faithful.failing(bad, bad, none, good * 4)
    assert len(told) == 3 and "no more than hiding anything else" in told[0] and "shuffled weights" in told[2]
