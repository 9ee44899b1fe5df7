"""Small worlds of truths and predictions that the tests of answers and of evaluation share."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from label_zoo import ZOO
from pandas import DataFrame

from potency.answers import Answer, Category, Density, Labels, Labelset, Objects, Regions, Vector

CLASSES = ("astro", "neuron", "oligo", "stem")
FATES = ("astro", "neuron", "stem")
SAMPLES = 200


def world(seed=0, classes=CLASSES, tied=True):
    """Truth, predicted class and probabilities; tied probabilities are tenths, so that many scores are equal."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(classes), SAMPLES)
    lean = np.full((SAMPLES, len(classes)), 1.0)
    lean[np.arange(SAMPLES), truth] += 1.5
    share = lean / lean.sum(axis=1, keepdims=True)
    probability = np.stack([rng.multinomial(10, row) / 10 if tied else rng.dirichlet(20 * row) for row in share])
    return truth, probability.argmax(axis=1), probability


def frames(truth, said, probability, classes=CLASSES):
    names = np.asarray(classes, dtype=object)
    columns = {"": names[said]}
    if probability is not None:
        columns |= {f"probability.{name}": probability[:, k] for k, name in enumerate(classes)}
    return DataFrame({"": names[truth]}), DataFrame(columns)


def label_sets(seed=0):
    """Truths of several classes at once, or none, and predictions with probabilities in tenths, some of them wrong."""
    rng = np.random.default_rng(seed)
    there = rng.random((SAMPLES, len(CLASSES))) < 0.35
    share = np.round(0.4 * there + 0.6 * rng.random(there.shape), 1)
    sides = [[" | ".join(np.array(CLASSES)[row]) or "none" for row in side] for side in (there, share >= 0.5)]
    shares = {f"probability.{name}": share[:, k] for k, name in enumerate(CLASSES)}
    return DataFrame({"": sides[0]}), DataFrame({"": sides[1], **shares})


def evidence_of(answer=Category, seed=0, classes=CLASSES, tied=True):
    truth, said, probability = world(seed, classes, tied)
    return answer.compare_columns(*frames(truth, said, probability, classes), classes)


def weightings(draws=6, seed=1):
    weights = np.random.default_rng(seed).integers(0, 4, (draws, SAMPLES)).astype(np.float32)
    weights[0] = 1
    return weights


def _filed(answer, number, image, scored):
    """An answer in files: a label image whose objects have two classes by turns, its boxes, its density (of a truth its
    boxes), or its classes as a map."""
    told = Labels.of(image).objects
    told = told.assign(**{"class": np.array(["a", "b"], object)[np.arange(len(told)) % 2]})
    told = told.assign(score=((np.arange(len(told)) * 7 + number) % 5) / 5) if scored else told
    if answer is Labels:
        return Labels.of(image, told)
    if answer is Density:
        return Density(values=(image > 0).astype(np.float32) / 20) if scored else Density(told)
    return Objects(told) if answer is Objects else Regions((image % 2 + (image > 0)).astype(np.uint8), ("-", "a", "b"))


@cache
def _in_files(answer):
    # The folder lives as long as the process; rows that are alike share a file.
    folder = Path(_FOLDER.name)
    names = ("perfect", "split", "shifted", "chipped", "renumbered", "spurious", "shifted far")
    rows = [
        [_filed(answer, n, image, k == 1).cells(folder, "made") for k, image in enumerate(ZOO[name])]
        for n, name in enumerate(names)
    ]
    sides = []
    for k in (0, 1):
        cells = [{part.removeprefix("made").removeprefix("."): cell for part, cell in row[k].items()} for row in rows]
        full = [{part: str(folder / c) if "/" in str(c) else c for part, c in row.items()} for row in cells]
        sides.append(DataFrame(full))
    rows = np.arange(SAMPLES) % len(names)
    evidence = answer.compare_columns(*sides).take(rows)
    return *(side.iloc[rows].reset_index(drop=True) for side in sides), evidence


_FOLDER = tempfile.TemporaryDirectory(prefix="potency-answers-")


def pairs_of(answer: type[Answer]):
    """Truth and predicted frames and their evidence, of any answer in the list."""
    if answer.in_files:
        return _in_files(answer)
    if answer.labelled:
        truth, predicted = frames(*world())
    elif answer is Labelset:
        truth, predicted = label_sets()
    else:
        rng = np.random.default_rng(0)
        shape = (SAMPLES, 3) if answer is Vector else (SAMPLES,)
        truth, predicted = (DataFrame({"": list(rng.normal(size=shape))}) for _ in range(2))
    return truth, predicted, answer.compare_columns(truth, predicted, CLASSES if answer.labelled else ())


def table_of(samples=240, groups=12, seed=0, sources=(("prediction", 2.0),), classes=FATES):
    """A table of predictions: a source with a larger sharpness is more often right."""
    rng = np.random.default_rng(seed)
    names = np.asarray(classes, dtype=object)
    truth = rng.integers(0, len(classes), samples)
    columns = {"id": [f"cell {k}" for k in range(samples)], "image": "a.png", "truth": names[truth]}
    columns["group"] = [f"well {k}" for k in rng.permutation(np.arange(samples) % groups)]
    for name, sharp in sources:
        score = rng.normal(size=(samples, len(classes)))
        score[np.arange(samples), truth] += sharp
        probability = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
        columns[name] = names[probability.argmax(axis=1)]
        columns |= {f"{name}.probability.{label}": probability[:, k] for k, label in enumerate(classes)}
    return DataFrame(columns)
