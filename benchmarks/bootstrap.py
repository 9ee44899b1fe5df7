"""The bootstrap over groups: all figures of all draws beside a loop over scikit-learn; how often intervals hold."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame
from side_by_side import tell
from sklearn import metrics as sk

from potency.answers import Answer, Category, Evidence, Number
from potency.evaluation import evaluate
from potency.evaluation.intervals import bootstrap, group_weights, levels

SAMPLES, CLASSES, DRAWS = 10_000, 10, 1_000


def table(sources: int = 1) -> DataFrame:
    """Predictions of a fair classifier; every sample is its own group, which is the most work."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, CLASSES, SAMPLES)
    names = np.array([f"class{k}" for k in range(CLASSES)], dtype=object)
    columns: dict[str, Any] = {"truth": names[truth], "group": np.arange(SAMPLES)}
    for name in ("prediction", "prediction@forest", "prediction@trivial")[:sources]:
        score = rng.normal(size=(SAMPLES, CLASSES))
        score[np.arange(SAMPLES), truth] += 1.5
        probability = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
        columns[name] = names[probability.argmax(axis=1)]
        columns |= {f"{name}.probability.{label}": probability[:, k] for k, label in enumerate(names)}
    return DataFrame(columns)


def evidence(rows: DataFrame) -> Evidence:
    predicted = rows.filter(like="prediction").rename(columns=lambda name: name.removeprefix("prediction").lstrip("."))
    return Category.compare_columns(rows[["truth"]].set_axis([""], axis=1), predicted, sorted(set(rows["truth"])))


def ours(answer: type[Answer], piece: Evidence) -> int:
    rows = np.arange(piece.samples)
    return len(bootstrap(answer, [(rows, piece)], rows, DRAWS)[0])


def theirs(piece: Evidence, draws: NDArray[Any]) -> None:
    """The same figures (but the calibration error, which scikit-learn lacks), one draw after another."""
    for weights in draws:
        one_of_theirs(piece, weights)


def one_of_theirs(piece: Evidence, weights: NDArray[Any]) -> None:
    truth, said, probability = (piece.arrays[name] for name in ("truth", "predicted", "probability"))
    how = {"sample_weight": weights}
    sk.accuracy_score(truth, said, **how)
    sk.balanced_accuracy_score(truth, said, **how)
    sk.precision_recall_fscore_support(truth, said, zero_division=0, **how)
    sk.cohen_kappa_score(truth, said, **how)
    sk.matthews_corrcoef(truth, said, **how)
    sk.log_loss(truth, probability, **how)
    sk.brier_score_loss(truth, probability, **how)
    for k in range(CLASSES):
        sk.roc_auc_score(truth == k, probability[:, k], **how)
        sk.average_precision_score(truth == k, probability[:, k], **how)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def held(groups: int, worlds: int) -> tuple[float, float]:
    """Share of worlds whose true accuracy lies in the interval, and in plain percentiles; groups of 20 differ."""
    rng = np.random.default_rng(1)
    codes = np.repeat(np.arange(groups), 20)
    hits = np.zeros(2)
    for _ in range(worlds):
        right = (rng.random(len(codes)) < rng.beta(2.1, 0.9, groups)[codes]).astype(np.intp)  # true accuracy 0.7
        piece = Evidence(len(codes), {"truth": np.ones(len(codes), np.intp), "predicted": right}, ("wrong", "right"))
        draws = bootstrap(Category, [(np.arange(len(codes)), piece)], codes, 400)[0]["accuracy"]
        for k, ends in enumerate((levels(groups), (2.5, 97.5))):
            low, high = np.percentile(draws, ends)
            hits[k] += low <= 0.7 <= high
    return float(hits[0] / worlds), float(hits[1] / worlds)


def rows(quick: bool) -> list[dict[str, Any]]:
    repeats, loops, worlds = (2, 2, 60) if quick else (7, 5, 400)
    piece, three = evidence(table()), table(3)
    rng = np.random.default_rng(0)
    truth = rng.normal(size=SAMPLES)
    numbers = Evidence(SAMPLES, {"truth": truth, "predicted": truth + rng.normal(size=SAMPLES)})
    figures = ours(Category, piece)  # the first call pays for imports
    taken: dict[str, list[float]] = {"ours": [], "theirs": [], "numbers": [], "evaluate": []}
    for repeat in range(repeats):
        weights = group_weights(SAMPLES, 1, range(repeat * loops, (repeat + 1) * loops))
        taken["ours"].append(seconds(lambda: ours(Category, piece)))
        taken["theirs"].append(seconds(partial(theirs, piece, weights)) * DRAWS / loops)
        taken["numbers"].append(seconds(lambda: ours(Number, numbers)))
        taken["evaluate"].append(seconds(lambda: evaluate(three, predictions=list(three.columns[2::11]), draws=DRAWS)))
    middle = {name: statistics.median(values) for name, values in taken.items()}
    size = {"samples": SAMPLES, "classes": CLASSES, "draws": DRAWS}
    name = f"all {figures} figures of a classifier, every draw"
    sides = {"ours": middle["ours"], "other": middle["theirs"], "ratio": middle["theirs"] / middle["ours"]}
    scaled = f"a loop over draws; {loops} draws measured {repeats} times and scaled to {DRAWS}"
    made: list[dict[str, Any]] = [
        {"name": name, "source": "potency", "role": "target", **size, "seconds": middle["ours"], **sides},
        {"name": name, "source": "scikit-learn", "role": "other", **size, "seconds": middle["theirs"], "note": scaled},
        {"name": "all 10 figures of a regressor, every draw", "source": "potency", "role": "other", **size,
         "classes": 0, "seconds": middle["numbers"]},
        {"name": "evaluate three columns: figures, contests, permutations", "source": "potency", "role": "other",
         **size, "seconds": middle["evaluate"]},
    ]  # fmt: skip
    for groups in (5, 8, 20):
        share, plain = held(groups, worlds)
        made.append(
            {"name": f"95 % intervals that hold the truth, {groups} groups", "source": "potency", "role": "other",
             "samples": groups * 20, "classes": 2, "draws": 400, "worlds": worlds, "held": share,
             "held_by_plain_percentiles": plain}
        )  # fmt: skip
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repeats of the same size")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    found = rows(chosen.quick)
    tell(found, chosen.json)


if __name__ == "__main__":
    main()
