"""Matching: overlaps, pairings and nearness against the plainest ways to find them, and what is refused."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from label_zoo import cases, random_pair
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from potency.answers.matching import near, overlap, paired, touching
from potency.answers.objecttable import objects_of
from potency.errors import AnswerError

CASES = cases()


def dense(truth, said):
    """Every IoU, by comparing pixels."""
    left, right = (np.unique(image[image > 0]) for image in (truth, said))
    table = np.zeros((len(left), len(right)))
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            table[i, j] = ((truth == a) & (said == b)).sum() / ((truth == a) | (said == b)).sum()
    return left, right, table


@pytest.mark.parametrize("name", CASES)
def test_overlap_is_that_of_comparing_all_pixels(name):
    truth, said = CASES[name]
    left, right, table = dense(truth, said)
    for kinds in ((np.int64, np.int64), (np.uint32, np.uint64)):
        found = overlap(truth.astype(kinds[0]), said.astype(kinds[1]))
        made = np.zeros_like(table)
        made[found.row, found.column] = found.iou
        np.testing.assert_allclose(made, table)
        np.testing.assert_array_equal(found.truths, left)
        np.testing.assert_array_equal(found.said, right)
        np.testing.assert_array_equal(found.truth_area, [(truth == a).sum() for a in left])
        np.testing.assert_array_equal(found.said_area, [(said == b).sum() for b in right])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.3, 0.5, 0.75])
def test_pairs_are_those_of_a_dense_assignment(name, threshold):
    truth, said = CASES[name]
    found, table = overlap(truth, said), dense(truth, said)[2]
    close = table > threshold
    gain = close + close * table / (2 * max(table.size, 1))  # as many pairs as possible, then the largest sum
    rows, columns = linear_sum_assignment(-gain)
    kept = close[rows, columns]
    pairs = found.pairs(threshold)
    assert pairs.sum() == kept.sum()
    assert found.iou[pairs].sum() == pytest.approx(table[rows, columns][kept].sum())
    for side in (found.row, found.column):
        assert len(np.unique(side[pairs])) == pairs.sum()


def test_a_pairing_is_the_best_of_all():
    rng = np.random.default_rng(0)
    for _ in range(30):
        table = rng.random((4, 5)) * (rng.random((4, 5)) < 0.6)
        row, column = np.nonzero(table)
        chosen = paired(row, column, table[row, column])
        best = max(sum(table[i, j] for i, j in enumerate(order[:4])) for order in permutations(range(5)))
        assert table[row, column][chosen].sum() == pytest.approx(best)
        assert len(set(row[chosen])) == len(set(column[chosen])) == chosen.sum()


def test_more_objects_than_sixteen_bits_can_number():
    side = 300
    truth = np.arange(1, side * side + 1, dtype=np.uint32).reshape(side, side)
    truth = np.repeat(np.repeat(truth, 2, 0), 2, 1)
    found = overlap(truth, truth[:, ::-1] + np.uint32(7))
    assert len(found.truths) == len(found.said) == 90_000 and len(found.row) == 90_000
    assert (found.iou == 1).all() and found.pairs(0.9).sum() == 90_000
    table = objects_of(truth)
    assert len(table) == 90_000 and (table["area"] == 4).all() and table["bbox-2"].max() == 2 * side


def test_a_stack_is_matched_like_a_plane():
    pairs = [random_pair(seed) for seed in range(3)]
    truth, said = (np.stack([pair[k] for pair in pairs]) for k in (0, 1))
    one, other = overlap(truth, said), dense(truth, said)[2]
    np.testing.assert_allclose(np.sort(one.iou), np.sort(other[other > 0]))
    assert overlap(np.asfortranarray(pairs[0][0]), pairs[0][1]).shared.sum() == overlap(*pairs[0]).shared.sum()


def test_ignored_pixels_count_for_nothing_and_excuse_what_lies_there():
    truth = np.array([[1, 1, 1, 1, 9, 9, 9, 0, 0, 0]])
    said = np.array([[2, 2, 2, 2, 2, 0, 3, 3, 4, 4]])
    found = overlap(truth, said, ignore=9)
    assert found.truths.tolist() == [1] and found.iou.tolist() == [1.0]  # the fifth pixel of object 2 is not judged
    assert found.void.tolist() == [1, 1, 0] and found.excused.tolist() == [False, False, False]
    wide = np.array([[2, 2, 2, 2, 0, 3, 3, 3, 4, 4]])
    found = overlap(truth, wide, ignore=9)
    assert found.excused.tolist() == [False, True, False]
    assert found.spurious(found.pairs(0.5)).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("truth", "said", "message"),
    [
        (np.zeros((4, 5), int), np.zeros((4, 6), int), "the prediction is 4 x 6 pixels, the truth 4 x 5"),
        (np.zeros((4, 5)), np.zeros((4, 5), int), "holds float64 values"),
        (np.zeros((4, 5), int), np.full((4, 5), -3), "holds the number -3"),
        (np.zeros((4, 5), int), np.full((4, 5), 2**40), "holds the number 1099511627776"),
        (np.zeros(5, int), np.zeros(5, int), "not 1 axes"),
    ],
)
def test_what_is_no_label_image_is_refused_in_words(truth, said, message):
    with pytest.raises(AnswerError, match=message) as caught:
        overlap(truth, said)
    assert caught.value.where and caught.value.mend


def test_no_pixels_and_true_and_false():
    assert len(overlap(np.zeros((0, 5), int), np.zeros((0, 5), int)).truths) == 0
    assert overlap(np.array([[True, False]]), np.array([[1, 1]])).iou.tolist() == [0.5]
    assert len(objects_of(np.zeros((0, 5), int))) == len(objects_of(np.zeros((3, 0), int))) == 0


@pytest.mark.parametrize("shape", [(40, 50), (5, 20, 30)])
def test_objects_are_measured_as_by_regionprops(shape):
    from skimage.measure import regionprops_table

    labels = np.random.default_rng(0).integers(0, 9, shape) * np.random.default_rng(1).integers(0, 2, shape)
    other = regionprops_table(labels, properties=("label", "area", "centroid", "bbox"))
    mine = objects_of(labels)
    assert set(mine.columns) == set(other)
    for name, values in other.items():
        np.testing.assert_allclose(mine[name], values, err_msg=name)
    assert 3 not in objects_of(labels, ignore=3)["label"].tolist()


@pytest.mark.parametrize("seed", range(5))
def test_points_are_paired_within_a_radius_as_many_as_possible_and_the_nearest(seed):
    rng = np.random.default_rng(seed)
    truth, said = rng.uniform(0, 30, (12, 2)), rng.uniform(0, 30, (15, 2))
    row, column, apart = near(truth, said, 5.0)
    table = cdist(truth, said)
    close = table <= 5
    rows, columns = linear_sum_assignment(np.where(close, table - 1000, 0))
    kept = close[rows, columns]
    assert len(row) == kept.sum() and apart.sum() == pytest.approx(table[rows, columns][kept].sum())
    np.testing.assert_allclose(apart, table[row, column])
    assert len(set(row)) == len(set(column)) == len(row)
    assert len(near(truth, said[:0], 5.0)[0]) == len(near(truth[:0], said, 5.0)[0]) == 0
    assert near(truth, truth, 0.0)[0].tolist() == list(range(12))


def test_boxes_overlap_as_each_with_each():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 90, (1400, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.5, 9, (1400, 2))], axis=1)
    truth, said = boxes[:600], boxes[600:]
    row, column, iou = touching(truth, said)
    table = np.zeros((600, 800))
    for i, (top, left, bottom, right) in enumerate(truth):
        high = np.clip(np.minimum(bottom, said[:, 2]) - np.maximum(top, said[:, 0]), 0, None)
        wide = np.clip(np.minimum(right, said[:, 3]) - np.maximum(left, said[:, 1]), 0, None)
        areas = (said[:, 2] - said[:, 0]) * (said[:, 3] - said[:, 1])
        table[i] = high * wide / ((bottom - top) * (right - left) + areas - high * wide)
    found = np.zeros_like(table)
    found[row, column] = iou
    np.testing.assert_allclose(found, table, atol=1e-12)
    assert len(touching(truth[:0], said)[0]) == len(touching(truth, said[:0])[0]) == 0
    crowd = touching(np.array([[0.0, 0, 10, 10]]), np.array([[0.0, 0, 5, 20]]), np.array([True]))[2]
    assert crowd.tolist() == [0.5]


