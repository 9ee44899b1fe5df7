"""Questions that rows cannot answer, command by command: pool, early, controls, explain, embed, similar."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from bad_options import (
    BLANK,
    COUNT,
    HALF,
    NO_ANSWERS,
    NUMBERS,
    ONE_CLASS,
    ONE_GROUP,
    RAGGED,
    TIMES,
    UNIT,
    UNLABELLED,
    UNLIKE,
    WELLS,
    lines,
    refused,
    survived,
)

UNITS = COUNT // UNIT
MANY, FEW = "--draws 100", "--first 2 --no-checks"
MASK = {"mask": ["nowhere.tif"] * COUNT}
NOT_LIKE = {"mask": [f"{k}.npy" for k in range(COUNT)]}


def maps(out: Path) -> bool:
    table = pd.read_csv(out / "explanations.csv")
    return bool(table["explanation"].notna().all() and (table["explanation.input"] == 0).all())


POOL = [
    refused("pool ROWS --by wells", "a unit that is no column", "there is no column 'wells'", "did you mean 'well'"),
    refused("pool ROWS --how means", "a rule that there is not", "there is no rule 'means'", "did you mean 'mean'"),
    refused("pool ROWS", "rows without a unit", "12 rows have no well", "fill the cells", "well", **WELLS),
    refused("pool ROWS", "units that differ in truth", "rows of one unit differ in their truth: dim, bright",
            "pool by a column", "g0/w0", **UNLIKE),
    refused("pool ROWS", "rows without answers", "no prediction to pool", "predict first", **NO_ANSWERS),
    refused("pool ROWS --weight weight", "weights under 0", "a weight is -1.0", "0 or more", "weight",
            weight=[-1.0] * COUNT),
    refused("pool ROWS --weight weight", "weights of 0", "the weights of all rows of a unit are 0", "over 0",
            weight=[0.0] * COUNT),
    refused("pool ROWS --how max --positive grey", "a class that there is not", "there is no class 'grey'",
            "known: bright, dim"),
    refused("pool ROWS --learn gate", "a head that there is not", "there is no head 'gate'", "did you mean 'gated'"),
    refused("pool ROWS --learn gru", "a head that looks forward without a time", "no time is named", "--time"),
    refused("pool ROWS --learn gru --time time", "a time with gaps", "12 rows of 24 have no time", "fill the cells",
            "time", **TIMES),
    refused("pool ROWS --learn mean --numbers area", "a number that is no column", "there is no column 'area'", "known",
            "numbers"),
    refused("pool ROWS --learn mean", "an embedding that is empty", "values of the embedding are no finite numbers",
            "leave the row out", "embedding.0", **BLANK),
    refused("pool ROWS --learn mean", "rows without labels", "no row has a truth to learn from", "outcome is known",
            "truth", **UNLABELLED),
    refused("pool ROWS --learn mean", "one group", "all rows belong to one group", "--group", **ONE_GROUP),
    survived("pool ROWS", "rows without labels, by a rule", "one row a well",
             lambda out: len(lines("pooled.csv")(out)) == UNITS, **UNLABELLED),
]
EARLY = [
    refused("early ROWS --time hour", "a time that is no column", "there is no column 'hour'", "known", "time"),
    refused("early ROWS --unit wells", "a unit that is no column", "there is no column 'wells'", "did you mean 'well'"),
    refused("early ROWS", "a time with gaps", "12 rows of 24 have no time", "fill the cells", "time", **TIMES),
    refused("early ROWS", "a time in words", "24 rows of 24 have the time 'soon'", "ISO dates", "time",
            time=["soon"] * COUNT),
    refused("early ROWS", "units that differ in truth", "rows of one unit differ in their truth", "pool by a column",
            **UNLIKE),
    refused("early ROWS", "rows without labels", "there is no truth column", "known", **UNLABELLED),
    refused("early ROWS --features embedding", "rows without labels, to learn from", "no row has a truth to learn from",
            "outcome is known", "truth", **UNLABELLED),
    refused("early ROWS --features embedding", "labels that are all empty", "no row has a truth to learn from",
            "outcome is known", "truth", truth=[None] * COUNT),
    refused("early ROWS --features embedding", "one group", "all rows belong to one group", "--group", **ONE_GROUP),
    refused("early ROWS --features embedding", "features that are empty", "features are no finite numbers",
            "leave these rows out", "embedding.0", **BLANK),
    refused("early ROWS --predictions prediction@theirs", "answers that are no column",
            "no prediction column 'prediction@theirs'", "did you mean 'prediction'"),
    refused("early ROWS --score aucs --draws 99", "a score that there is not", "has no aucs", "did you mean 'auc'"),
    refused("early ROWS --draws 10", "10 draws", "Invalid value for '--draws'", "early --help"),
    survived("early ROWS --draws 99", "one class", "no figure, and why",
             lambda out: "one class only (dim)" in (out / "early.html").read_text("utf-8"), **ONE_CLASS),
]
CONTROLS = [
    refused("controls ROWS", "rows without labels", "no truth to compare with", "--truth", **UNLABELLED),
    refused("controls ROWS", "one class", "the truths of the rows that may be asked for are all alike",
            "two classes", **ONE_CLASS),
    refused("controls ROWS --most 5", "5 rows", "Invalid value for '--most'", "controls --help"),
    refused("controls ROWS --model nowhere", "a model that there is not", "there is no such bundle", "potency train",
            "nowhere"),
    refused("controls ROWS --model ENCODER", "a model without classes",
            "answers with a vector, the truth is a category", "learned such a truth"),
    refused("controls ROWS --model CLASSES", "a model of classes for numbers",
            "answers with a category, the truth is a number", "learned such a truth", **NUMBERS),
    survived(f"controls ROWS --model CLASSES {MANY}", "images that are all alike", "nothing to take away",
             lambda out: "there is nothing to take away" in (out / "controls.html").read_text("utf-8"), constant=True),
    survived(f"controls ROWS {MANY}", "one group", "spectra without intervals",
             lambda out: (out / "controls.html").is_file(), **ONE_GROUP),
]
EXPLAIN = [
    refused("explain CLASSES ROWS --label grey", "a class that there is not", "knows no class 'grey'", "bright, dim"),
    refused("explain CLASSES ROWS --label dim --against dim", "a class against itself", "'dim' against itself",
            "two classes"),
    refused("explain CLASSES ROWS --score logits", "a score that there is not", "no score 'logits'", "'logit'"),
    refused("explain CLASSES ROWS --method relevanse", "a method that there is not", "no method 'relevanse'",
            "did you mean 'relevance'"),
    refused("explain CLASSES ROWS --like nowhere.tif", "an image that there is not", "there is no such file",
            "check the path", "nowhere.tif"),
    refused("explain CLASSES ROWS --by family", "families of a model that sees pixels", "only models of features",
            "leave them out", "--by"),
    refused("explain ENCODER ROWS", "an encoder, without an image to resemble", "has no score of its own",
            "--like IMAGE"),
    refused("explain NUMBER ROWS --label dim", "a class of a model of numbers", "quantify knows no classes",
            "leave the class out"),
    refused("explain FEATURES ROWS --segments auto", "a map of features", "no map of pixels", "leave them out",
            "--segments"),
    refused("explain FEATURES ROWS --by colour", "players that there are not", "cannot be taken by 'colour'",
            "family, feature", "--by"),
    refused("explain FEATURES ROWS --first 2", "two usual rows", "2 images cannot say what is usual",
            "8 or more", "--background"),
    refused(f"explain CLASSES ROWS --segments masks {FEW}", "masks that are no column",
            "there is no column 'masks' of label images", "did you mean 'mask'", **MASK),
    refused(f"explain CLASSES ROWS --segments mask {FEW}", "masks that are not there", "there is no such file",
            "explain --help", "mask", worked=True, **MASK),
    survived(f"explain CLASSES ROWS {FEW}", "images that are all background", "maps of nothing", maps, constant=True),
]
EMBED = [
    refused("embed ROWS", "no model, and no embedding in the table", "no row has an embedding", "give a bundle",
            **{"embedding.0": None, "embedding.1": None}),
    refused("embed ROWS --bundle FEATURES", "a model without an embedding", "holds no network", "--network"),
    refused("embed ROWS --layout pcs", "a layout that there is not", "no layout 'pcs'", "did you mean 'pca'"),
    refused("embed ROWS --bundle CLASSES --colour plate", "a colour that is no column", "no column 'plate' can colour",
            "known", "--colour"),
    refused("embed ROWS --bundle CLASSES --name truth", "a name that is taken", "has a column 'truth' already",
            "another name", "--name"),
    refused("embed ROWS --bundle CLASSES", "two images", "a map of 2 points says nothing", "three rows",
            worked=True, count=2),
    survived("embed ROWS --bundle CLASSES", "labels that are all empty", "drawn, not judged",
             lambda out: "not judged" in (out / "embedding.html").read_text("utf-8"), truth=[None] * COUNT,
             group=[None] * COUNT),
    survived("embed ROWS --bundle CLASSES", "images that are all alike", "one point",
             lambda out: (out / "embedding.html").is_file(), constant=True),
]
SIMILAR = [
    refused("similar CLASSES ROWS --among nowhere", "rows that there are not", "no such file or folder", "check",
            "nowhere"),
    refused("similar CLASSES ROWS --among ROWS --count 0", "0 neighbours", "Invalid value for '--count'",
            "similar --help"),
    refused("similar CLASSES ROWS --among ROWS --truth fates", "a column that there is not",
            "there is no column 'fates'", "known", "columns"),
    refused("similar CLASSES ROWS --among ROWS --elsewhere --group group", "one group to look elsewhere of",
            "no image has a neighbour that is allowed", "more groups", worked=True, **ONE_GROUP),
    refused("similar CLASSES ROWS --among ROWS", "one image, and itself", "no image has a neighbour that is allowed",
            "look among more", worked=True, count=1),
    refused("similar FEATURES ROWS --among ROWS", "a model without an embedding", "holds no network", "--network"),
    survived("similar CLASSES ROWS --among ROWS --count 50 --first 1", "more neighbours than rows", "all 23 others",
             lambda out: lines("similar.csv")(out).filter(regex=r"^nearest\.\d+$").notna().sum(axis=None) == COUNT - 1),
    survived("similar CLASSES ROWS --among ROWS", "embeddings of another kind in the table", "embedded anew",
             lambda out: lines("similar.csv")(out)["nearest.1"].notna().all(), **RAGGED),
    survived("similar CLASSES ROWS --among ROWS", "rows half of which have labels", "told with what is known",
             lambda out: lines("similar.csv")(out)["nearest.1.truth"].isna().any(), **HALF),
]
CASES = [*POOL, *EARLY, *CONTROLS, *EXPLAIN, *EMBED, *SIMILAR]
