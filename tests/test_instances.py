"""Figures of label images, boxes, points and maps against definitions written out literally, on named cases."""

from __future__ import annotations

import label_figures as literal
import numpy as np
import pytest
from label_zoo import ZOO, cases, random_pair
from pandas import DataFrame

from potency.answers import Evidence, Labels, Objects, Regions
from potency.answers.matching import overlap
from potency.answers.metrics.instances import counts_of_mistakes, mistakes

CASES = cases()
CLASSES = ("a", "b", "c")


def figures(pieces, weights=None):
    """The figures of some pieces of evidence: each once, or as often as weighed."""
    evidence = Evidence.stack(pieces)
    weights = np.ones((1, evidence.samples)) if weights is None else weights
    return {name: values[0] for name, values in type_of(evidence).summarise(evidence, weights).items()}


def type_of(evidence):
    return Regions if "confusion" in evidence.lists else Labels if "aji" in evidence.arrays else Objects


def labels(image, seed=None, scored=False):
    """A label image as an answer; with a seed each object has a class and, if asked, a score."""
    image = np.asarray(image)
    if seed is None:
        return Labels.of(image)
    rng = np.random.default_rng(seed)
    numbers = np.unique(image[image > 0])
    told = DataFrame({"label": numbers, "class": rng.choice(CLASSES, len(numbers))})
    return Labels.of(image, told.assign(score=rng.permutation(len(numbers)) / 7) if scored else told)


def close(found, wanted, name=""):
    np.testing.assert_allclose(found, wanted, atol=1e-12, equal_nan=True, err_msg=name)


@pytest.mark.parametrize("name", CASES)
def test_figures_of_one_image_are_those_of_the_papers(name):
    truth, said = CASES[name]
    found = figures([labels(said).compare(labels(truth))])
    a, b = literal.masks(truth), literal.masks(said)
    single, pooled = literal.bowl([(truth, said)])
    close(found["dsb_ap"], np.mean(single))
    close(found["dsb_ap_pooled"], np.mean(pooled))
    for k, threshold in enumerate(literal.THRESHOLDS):
        close(found[f"dsb_ap.{round(100 * threshold)}"], single[k])
    hit, false, missed, shared = literal.counts(a, b, 0.75)
    close(found["precision.75"], literal.share(hit, hit + false))
    close(found["recall.75"], literal.share(hit, hit + missed))
    close(found["f1.75"], literal.share(2 * hit, 2 * hit + false + missed))
    hit, false, missed, shared = literal.counts(a, b, 0.5)
    close(found["pq"], literal.panoptic(a, b))
    close(found["sq"], literal.share(shared, hit))
    close(found["rq"], literal.share(2 * hit, 2 * hit + false + missed))
    close(found["aji"], literal.jaccard_aggregated(a, b))
    close(found["aji_plus"], literal.jaccard_aggregated_plus(a, b))
    for figure, values in zip(("object_jaccard", "object_dice"), literal.best_of_each(a, b), strict=True):
        close(found[figure], literal.share(sum(values), len(values)))
    inside, outside = (truth > 0) & (said > 0), (truth > 0) | (said > 0)
    close(found["jaccard"], literal.share(inside.sum(), outside.sum()))
    close(found["dice"], literal.share(2 * inside.sum(), (truth > 0).sum() + (said > 0).sum()))
    close([found["boundary_f"], found["hausdorff"], found["hausdorff95"]], literal.outlines(truth, said))
    close(found["count_mae"], abs(len(a) - len(b)))
    close(found["count_bias"], len(b) - len(a))
    close(found["count_mape"], literal.share(abs(len(a) - len(b)), len(a)))


def test_figures_of_many_images_weigh_them_as_copies_would():
    pairs = [CASES[name] for name in CASES if CASES[name][0].shape == (12, 16)]
    truths, answers = ([labels(pair[k], 10 * i + k, k == 1) for i, pair in enumerate(pairs)] for k in (0, 1))
    pieces = [said.against(true, CLASSES, True) for true, said in zip(truths, answers, strict=True)]
    times = np.random.default_rng(0).integers(0, 3, len(pieces))
    weighed = figures(pieces, times[None].astype(np.float32))
    copied = figures([piece for piece, n in zip(pieces, times, strict=True) for _ in range(n)])
    for name, value in copied.items():
        close(weighed[name], value, name)
    found = figures(pieces)
    single, pooled = literal.bowl(pairs)
    close(found["dsb_ap"], np.mean(single))
    close(found["dsb_ap_pooled"], np.mean(pooled))
    each = [literal.jaccard_aggregated(literal.masks(t), literal.masks(p)) for t, p in pairs]
    close(found["aji"], literal.mean_known(each))
    taken = Evidence.stack(pieces).take(np.repeat(np.arange(len(pieces)), times))
    close(Labels.summarise(taken, np.ones((1, taken.samples)))["coco_ap"][0], copied["coco_ap"])


@pytest.fixture(scope="module")
def typed():
    """Images with classes and scores, the last three empty in one side or both."""
    pairs = [random_pair(seed) for seed in range(5)]
    empty = np.zeros_like(pairs[0][0])
    pairs += [(empty, pairs[0][1]), (pairs[1][0], empty), (empty, empty)]
    return [(labels(t, 2 * i), labels(p, 2 * i + 1, scored=True)) for i, (t, p) in enumerate(pairs)]


def parts(answer):
    """(mask, class code, score) of every object."""
    told = answer.objects
    scores = told.get("score", np.zeros(len(told)))
    return [
        (answer.instances == number, CLASSES.index(kind), score)
        for number, kind, score in zip(told["label"], told.get("class", []), scores, strict=True)
    ]


def test_pannukes_quality_strict_and_as_published(typed):
    found = figures([said.against(true, CLASSES, True) for true, said in typed])
    images = [(parts(true), parts(said)) for true, said in typed]
    whole = [literal.panoptic([a for a, *_ in t], [b for b, *_ in p]) for t, p in images]
    close(found["bpq"], literal.mean_known(whole))
    close(found["bpq_published"], literal.mean_known([v for v, (t, _) in zip(whole, images, strict=True) if t]))
    table = [
        [literal.panoptic([a for a, k, _ in t if k == code], [b for b, k, _ in p if k == code]) for code in range(3)]
        for t, p in images
    ]
    own = [literal.mean_known([row[code] for row in table]) for code in range(3)]
    close(found["mpq"], np.mean(own))
    close([found[f"mpq.{name}"] for name in CLASSES], own)
    held = [
        literal.mean_known([row[code] for code in range(3) if any(k == code for _, k, _ in t)])
        for row, (t, _) in zip(table, images, strict=True)
    ]
    close(found["mpq_published"], literal.mean_known(held))
    assert found["bpq"] < found["bpq_published"]  # the empty image with spurious objects


def test_hovernets_f_scores(typed):
    found = figures([said.against(true, CLASSES, True) for true, said in typed])

    def centres(answer):
        return [(np.argwhere(mask).mean(axis=0), kind) for mask, kind, _ in parts(answer)]

    f_d, each, types = literal.centred([(centres(true), centres(said)) for true, said in typed], 3, 12.0)
    close(found["f_d"], f_d)
    close([found[f"f_c.{name}"] for name in CLASSES], each)
    close(found["f_c"], literal.mean_known(each))
    close([found["type_accuracy"], *(found[f"type_accuracy.{name}"] for name in CLASSES)], types)


def test_cocos_ap_of_masks(typed):
    found = figures([said.against(true, CLASSES, True) for true, said in typed])
    table = literal.coco([(parts(true), parts(said)) for true, said in typed], 3, literal.iou)
    close(found["coco_ap"], np.mean(table))
    close(found["coco_ap.50"], np.mean([row[0] for row in table]))
    close([found[f"coco_ap.{name}"] for name in CLASSES], np.mean(table, axis=1))
    plain = figures([Labels.of(p.instances).compare(Labels.of(t.instances)) for t, p in typed])
    assert not {"coco_ap", "mpq", "f_c"} & set(plain) and {"bpq", "f_d"} <= set(plain)


def boxes(rng, count, scored):
    corner, kinds = rng.uniform(0, 40, (count, 2)), rng.choice(CLASSES, count)
    ends = np.concatenate([corner, corner + rng.uniform(4, 15, (count, 2))], axis=1)
    made = DataFrame(ends, columns=[f"bbox-{k}" for k in range(4)]).assign(**{"class": kinds})
    return made.assign(score=rng.permutation(count) / count) if scored else made


def box_iou(a, b):
    high, wide = (min(a[k + 2], b[k + 2]) - max(a[k], b[k]) for k in (0, 1))
    shared = max(high, 0) * max(wide, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def test_cocos_ap_of_boxes_and_the_most_that_count():
    rng = np.random.default_rng(0)
    images = []
    for _ in range(6):
        truth, said = boxes(rng, 9, False), boxes(rng, 14, True)
        said.iloc[:6, :4] = truth.iloc[:6, :4].to_numpy() + rng.normal(0, 1, (6, 4))
        said.loc[:3, "class"] = truth["class"][:4]
        images.append((truth, said))
    found = figures([Objects(said).against(Objects(true), CLASSES, True) for true, said in images])

    def things(table):
        scores = table.get("score", np.zeros(len(table)))
        kinds = map(CLASSES.index, table["class"])
        return list(zip(map(tuple, table.iloc[:, :4].to_numpy()), kinds, scores, strict=True))

    listed = [(things(true), things(said)) for true, said in images]
    table = literal.coco(listed, 3, box_iou)
    assert 0.05 < np.mean(table) < 0.95
    close(found["coco_ap"], np.mean(table))
    from potency.answers.matching import touching
    from potency.answers.metrics import ranked

    few = [
        ranked.evidence(
            ranked.Candidates(
                *(np.array([k for _, k, _ in side]) for side in (t, p)), np.array([s for *_, s in p]),
                *touching(np.array([b for b, *_ in t]), np.array([b for b, *_ in p])),
                np.zeros(len(t), bool), np.zeros(len(p), bool),
            ), 3, most=2,
        ) for t, p in listed
    ]  # fmt: skip
    arrays = {"positives": np.concatenate([one[0]["positives"] for one in few])}
    lists = {"ranked": ranked.Ragged.stack([one[1] for one in few])}
    told = ranked.figures(arrays, lists, CLASSES, np.ones((1, len(few))))
    close(told["coco_ap"][0], np.mean(literal.coco(listed, 3, box_iou, most=2)))


def test_points_boxes_and_crowds_are_counted():
    def points(*places):
        return Objects(DataFrame(list(places), columns=["centroid-0", "centroid-1"], dtype=float), radius=3)

    found = figures([points((0, 0), (9, 9), (20, 0)).compare(points((1, 0), (9, 11), (40, 40)))])
    assert found["precision"] == found["recall"] == found["f1"] == pytest.approx(2 / 3)
    assert found["distance"] == pytest.approx(1.5) and found["count_bias"] == 0 and "f_c" not in found
    names = [f"bbox-{k}" for k in range(4)]
    truth = DataFrame([[0, 0, 10, 10], [20, 20, 60, 60]], columns=names, dtype=float).assign(crowd=[False, True])
    rows = [[0, 0, 10, 9], [30, 30, 40, 40], [45, 45, 50, 50], [70, 70, 80, 80]]
    said = DataFrame(rows, columns=names, dtype=float).assign(score=[0.2, 0.9, 0.8, 0.1])
    found = figures([Objects(said).compare(Objects(truth))])
    assert (found["precision"], found["recall"], found["coco_ap.50"]) == (0.5, 1.0, 1.0)
    found = figures([Objects(said.drop(index=[0])).compare(Objects(truth))])
    assert (found["recall"], found["coco_ap"]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("perfect", (0, 0, 0, 0)), ("missed", (1, 0, 0, 0)), ("split", (0, 1, 0, 0)), ("chipped", (0, 1, 0, 0)),
        ("merged", (0, 0, 2, 0)), ("swallowed", (0, 0, 2, 0)), ("spurious", (0, 0, 0, 1)), ("shifted", (0, 0, 0, 0)),
        ("empty truth", (0, 0, 0, 2)), ("empty prediction", (2, 0, 0, 0)), ("both empty", (0, 0, 0, 0)),
        ("half and half", (0, 1, 0, 0)), ("shifted far", (2, 0, 0, 2)),
    ],
)  # fmt: skip
def test_mistakes_have_their_kind(name, wrong):
    table = mistakes(overlap(*ZOO[name]))
    assert tuple(counts_of_mistakes(table).values()) == wrong
    truth, said = (len(np.unique(image[image > 0])) for image in ZOO[name])
    assert (table["side"] == "truth").sum() == truth and (table["side"] == "prediction").sum() == said


def test_semantic_maps_are_judged_by_their_pixels():
    from sklearn.metrics import accuracy_score, f1_score, jaccard_score

    rng = np.random.default_rng(0)
    pairs = [(rng.integers(0, 3, (20, 30)), rng.integers(0, 3, (20, 30))) for _ in range(4)]
    pairs[0][0][:5] = 255
    answers = [(Regions(t, ignore=255), Regions(p)) for t, p in pairs]
    pieces = [said.compare(true) for true, said in answers]
    found = figures(pieces)
    kept = [t != 255 for t, _ in pairs]
    truth, said = (np.concatenate([pair[k][m] for pair, m in zip(pairs, kept, strict=True)]) for k in (0, 1))
    close(found["pixel_accuracy"], accuracy_score(truth, said))
    close([found[f"iou.{k}"] for k in range(3)], jaccard_score(truth, said, average=None))
    close(found["mean_iou"], jaccard_score(truth, said, average="macro"))
    close([found[f"dice.{k}"] for k in range(3)], f1_score(truth, said, average=None))
    times = np.array([[2.0, 0.0, 1.0, 1.0]])
    close(figures(pieces, times)["mean_dice"], figures([pieces[k] for k in (0, 0, 2, 3)])["mean_dice"])


def test_ignored_pixels_move_no_figure():
    truth, said = random_pair(3)
    void = np.zeros(truth.shape, bool)
    void[:, :12] = True
    marked = np.where(void, 999, truth)
    noise = np.where(void & (np.indices(truth.shape).sum(0) % 5 < 2), 77, np.where(void, 0, said))
    plain = Labels.of(np.where(void, 0, said)).compare(Labels.of(marked, ignore=999))
    noisy = Labels.of(noise).compare(Labels.of(marked, ignore=999))
    one, other = figures([plain]), figures([noisy])
    for name, value in one.items():
        close(other[name], value, name)
    assert one["hausdorff"] > 0
