"""The figures of label images, written as literally as their papers define them: masks, loops and no cleverness."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

THRESHOLDS = [k / 20 for k in range(10, 20)]
NAN = float("nan")


def masks(image):
    return [image == number for number in np.unique(image) if number]


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def counts(truth, said, threshold):
    """Hits, spurious, missed, and the summed IoU of hits."""
    pairs = [iou(a, b) for a in truth for b in said]
    hits = [value for value in pairs if value > threshold]
    return len(hits), len(said) - len(hits), len(truth) - len(hits), sum(hits)


def share(above, below):
    return above / below if below else NAN


def mean_known(values):
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else NAN


def bowl(pairs):
    """AP of the Data Science Bowl: per image at each threshold, mean over images, and pooled."""
    single, pooled = [], []
    for threshold in THRESHOLDS:
        found = [counts(masks(t), masks(p), threshold)[:3] for t, p in pairs]
        single.append(mean_known([share(hit, hit + false + missed) for hit, false, missed in found]))
        hit, false, missed = map(sum, zip(*found, strict=True))
        pooled.append(share(hit, hit + false + missed))
    return single, pooled


def panoptic(truth, said):
    """Kirillov et al. 2019, equation 1; nan without objects."""
    hit, false, missed, shared = counts(truth, said, 0.5)
    return share(shared, hit + false / 2 + missed / 2)


def jaccard_aggregated(truth, said):
    """Kumar et al. 2017, algorithm 1."""
    above = below = 0
    used = set()
    for a in truth:
        best = max(range(len(said)), key=lambda j: iou(a, said[j]), default=None)
        if best is None or not (a & said[best]).any():
            below += a.sum()
            continue
        above, below = above + (a & said[best]).sum(), below + (a | said[best]).sum()
        used.add(best)
    below += sum(b.sum() for j, b in enumerate(said) if j not in used)
    return share(above, below)


def jaccard_aggregated_plus(truth, said):
    """Graham et al. 2019: one to one, of the largest total IoU."""
    table = np.array([[iou(a, b) for b in said] for a in truth]).reshape(len(truth), len(said))
    rows, columns = linear_sum_assignment(-table)
    joined = [(i, j) for i, j in zip(rows, columns, strict=True) if table[i, j] > 0]
    above = sum((truth[i] & said[j]).sum() for i, j in joined)
    below = sum((truth[i] | said[j]).sum() for i, j in joined)
    below += sum(a.sum() for i, a in enumerate(truth) if i not in {i for i, _ in joined})
    below += sum(b.sum() for j, b in enumerate(said) if j not in {j for _, j in joined})
    return share(above, below)


def best_of_each(truth, said):
    jaccard = [max((iou(a, b) for b in said), default=0) for a in truth]
    dice = [max((2 * (a & b).sum() / (a.sum() + b.sum()) for b in said), default=0) for a in truth]
    return jaccard, dice


def edge(image):
    """Object pixels with a 4-neighbour of another value, one pixel after another."""
    found = []
    for y, x in np.ndindex(image.shape):
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            v, u = y + dy, x + dx
            inside = 0 <= v < image.shape[0] and 0 <= u < image.shape[1]
            if image[y, x] and inside and image[v, u] != image[y, x]:
                found.append((y, x))
                break
    return np.array(found, float).reshape(-1, 2)


def outlines(truth, said, tolerance=2.0):
    """Boundary F, Hausdorff distance and its 95 %."""
    a, b = edge(truth), edge(said)
    if not len(a) or not len(b):
        return (NAN if not len(a) and not len(b) else 0.0), NAN, NAN
    table = cdist(a, b)
    there, back = table.min(axis=1), table.min(axis=0)
    recall, precision = (there <= tolerance).mean(), (back <= tolerance).mean()
    f = 2 * recall * precision / (recall + precision) if recall + precision else 0.0
    return f, max(there.max(), back.max()), max(np.percentile(there, 95), np.percentile(back, 95))


def coco(images, classes, overlap, most=2000):
    """COCO's AP: `images` are (true objects, predicted objects) of (thing, class, score); nested lists by class."""
    table = []
    for code in range(classes):
        row = []
        for threshold in THRESHOLDS:
            ranked, positives = [], 0
            for truth, said in images:
                mine = [a for a, kind, _ in truth if kind == code]
                positives += len(mine)
                free = list(mine)
                guesses = sorted((g for g in said if g[1] == code), key=lambda g: -g[2])[:most]
                for b, _, score in guesses:
                    best = max(free, key=lambda a: overlap(a, b), default=None)
                    hit = best is not None and overlap(best, b) >= threshold
                    if hit:
                        free = [a for a in free if a is not best]
                    ranked.append((score, hit))
            ranked.sort(key=lambda line: -line[0])
            row.append(_area([hit for _, hit in ranked], positives))
        table.append(row)
    return table


def _area(hits, positives):
    if not positives:
        return NAN
    found = np.cumsum(hits) if hits else np.zeros(0)
    total = 0.0
    for recall in np.linspace(0, 1, 101):
        beyond = [found[k] / (k + 1) for k in range(len(hits)) if found[k] / positives >= recall]
        total += max(beyond, default=0.0)
    return total / 101


def centred(pairs, classes, radius):
    """HoVer-Net's F_d and F_c, and type accuracy (all, each), of images as lists of (centre, class)."""
    joined, lone_true, lone_said = [], [], []
    for truth, said in pairs:
        left = np.array([c for c, _ in truth], float).reshape(-1, 2)
        right = np.array([c for c, _ in said], float).reshape(-1, 2)
        table = cdist(left, right)
        rows, columns = linear_sum_assignment(np.where(table <= radius, table - 1e6, 0))
        kept = [(i, j) for i, j in zip(rows, columns, strict=True) if table[i, j] <= radius]
        joined += [(truth[i][1], said[j][1]) for i, j in kept]
        lone_true += [kind for i, (_, kind) in enumerate(truth) if i not in {i for i, _ in kept}]
        lone_said += [kind for j, (_, kind) in enumerate(said) if j not in {j for _, j in kept}]
    f_d = share(2 * len(joined), 2 * len(joined) + len(lone_said) + len(lone_true))
    each = []
    for code in range(classes):
        both = sum(a == b == code for a, b in joined)
        wrong, lost = sum(b == code != a for a, b in joined), sum(a == code != b for a, b in joined)
        each.append(share(2 * both, 2 * both + 2 * wrong + 2 * lost + lone_said.count(code) + lone_true.count(code)))
    right = [a == b for a, b in joined]
    types = [share(sum(right), len(joined))]
    types += [share(sum(a == b == k for a, b in joined), sum(a == k for a, _ in joined)) for k in range(classes)]
    return f_d, each, types
