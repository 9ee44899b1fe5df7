"""Agreement of readers: against published worked examples, another implementation, and images that are drawn again."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score

from potency.answers import ANSWERS
from potency.evaluation.agreement import FORMS, counted, fleiss_kappa, intraclass, krippendorff
from potency.evaluation.intervals import values_of

# Fleiss (1971), table 1: what six psychiatrists called each of thirty patients, in five classes.
TOLD = (
    "444444 222555 233335 555555 222444 113333 333355 113334 114444 555555 144444 124444 222333 144444 224445 "
    "333335 111455 111112 224444 133555 555555 244444 224555 114444 144445 222224 111155 224444 133333 555555"
)
PATIENTS = np.array([[int(sign) - 1 for sign in row] for row in TOLD.split(" ")])
# Shrout and Fleiss (1979), table 2: six targets scored by four judges.
JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
# Krippendorff (2004), chapter 11: twelve units, four observers, gaps.
_ = np.nan
OBSERVERS = np.array([
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _], [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _], [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]).T  # fmt: skip


def test_fleiss_kappa_is_that_of_fleiss_1971() -> None:
    assert fleiss_kappa(counted(PATIENTS, 5))[0] == pytest.approx(0.4302445, abs=1e-7)
    fourteen = np.array([[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
                         [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0],
                         [0, 2, 2, 3, 7]])  # fmt: skip
    assert fleiss_kappa(fourteen.astype(float))[0] == pytest.approx(0.210, abs=5e-4)


def test_intraclass_correlations_are_those_of_shrout_and_fleiss_1979() -> None:
    found = {name: round(float(value[0]), 2) for name, value in intraclass(JUDGES).items()}
    assert found == dict(zip(FORMS, (0.17, 0.29, 0.71, 0.44, 0.62, 0.91), strict=True))


def test_alpha_is_that_of_krippendorff_2004() -> None:
    assert krippendorff(OBSERVERS)[0] == pytest.approx(0.743, abs=5e-4)
    assert krippendorff(OBSERVERS, ordered=True)[0] == pytest.approx(0.849, abs=5e-4)


def test_cohens_kappa_between_readers_is_that_of_scikit_learn() -> None:
    from pandas import DataFrame

    first, second = PATIENTS[:, 0], PATIENTS[:, 3]
    names = tuple("abcde")
    columns = [DataFrame({"": [names[code] for code in codes]}) for codes in (first, second)]
    evidence = ANSWERS["category"].compare_columns(*columns, names)
    kappa = values_of(ANSWERS["category"], evidence)["kappa"]
    assert kappa == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


@pytest.mark.parametrize("figure", ["fleiss", "nominal", "interval", *FORMS])
def test_an_image_drawn_twice_counts_as_two(figure: str) -> None:
    def of(codes: NDArray[np.integer], weights: NDArray[np.float64] | None = None) -> float:
        values = codes.astype(float)
        if figure == "fleiss":
            return float(fleiss_kappa(counted(codes, 5), weights)[0])
        if figure in ("nominal", "interval"):
            return float(krippendorff(values, figure == "interval", weights)[0])
        return float(intraclass(values, weights)[figure][0])

    times = np.random.default_rng(3).integers(0, 3, len(PATIENTS))
    assert of(PATIENTS, times[None].astype(float)) == pytest.approx(of(np.repeat(PATIENTS, times, axis=0)), abs=1e-9)


def test_gaps_and_sameness_are_told_apart_from_agreement() -> None:
    gone = PATIENTS.copy()
    gone[:10, 2:] = -1
    gone[10] = -1
    assert 0 < fleiss_kappa(counted(gone, 5))[0] < 1
    assert np.isnan(fleiss_kappa(counted(np.zeros((4, 3), int), 2))[0]), "all said one class: nothing beyond chance"
    assert np.isnan(fleiss_kappa(counted(np.array([[0, -1]]), 2))[0])
    assert np.isnan(krippendorff(np.ones((3, 2)))[0]) and np.isnan(krippendorff(np.full((2, 2), np.nan))[0])
    assert all(np.isnan(value[0]) for value in intraclass(np.ones((3, 2))).values())
    assert all(np.isnan(value[0]) for value in intraclass(np.ones((1, 2)) * [[1, 2]]).values())
    same = np.array([[1.0, 1.0], [2.0, 2.0], [5.0, 5.0]])
    assert intraclass(same)["icc21"][0] == pytest.approx(1) and krippendorff(same, ordered=True)[0] == pytest.approx(1)
