"""Options that do not fit the rows, command by command: names of nothing, gaps, one group, too few rows, no truth."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from bad_case import Case, command
from small_bundle import CLASSES, bundle_of
from torch import nn

from potency.bundle import Bundle, Card, NetworkMember
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.errors import PotencyError
from potency.learning.train import train
from potency.tasks import TASKS

COUNT, UNIT = 24, 4  # rows, and how many of them are one well of one group, one after the other in time
MODELS = tempfile.TemporaryDirectory(prefix="bad-options-")  # gone with the process
GREY = {"channels": ("grey",), "scaling": {"grey": (0.0, 255.0)}}
KINDS = ("classes", "number", "encoder", "features")
Columns = Mapping[str, Any]
Spoil = Callable[[Path], object]


def rows(folder: Path, constant: bool = False, count: int = COUNT, **columns: Any) -> Path:
    """A table of sound images, two classes in six groups, with answers and an embedding; None takes a column away."""
    chance = np.random.default_rng(7)
    for k in range(count):
        noise = chance.integers(0, 255, (16, 16), dtype=np.uint8) // (1 + k // UNIT % 2)
        np.save(folder / f"{k}.npy", np.full((16, 16), 100, np.uint8) if constant else noise)
    share = np.linspace(0.1, 0.9, count)
    table = {
        "image": [f"{k}.npy" for k in range(count)],
        "truth": [CLASSES[k // UNIT % 2] for k in range(count)],
        "group": [f"g{k // UNIT}" for k in range(count)], "well": [f"w{k // UNIT}" for k in range(count)],
        "time": [float(k % UNIT) for k in range(count)], "weight": share,
        "prediction": [CLASSES[int(one > 0.5)] for one in share],
        "prediction.probability.dim": 1 - share, "prediction.probability.bright": share,
        "embedding.0": chance.normal(size=count), "embedding.1": chance.normal(size=count),
    } | columns  # fmt: skip
    path = folder / "t.csv"
    pd.DataFrame({name: cells for name, cells in table.items() if cells is not None}).to_csv(path, index=False)
    return path


def gaps(cells: list[Any]) -> list[Any]:
    return [None if k % 2 else cell for k, cell in enumerate(cells)]


HALF = {"truth": gaps([CLASSES[k // UNIT % 2] for k in range(COUNT)])}
UNLABELLED, NUMBERS = {"truth": None}, {"truth": np.linspace(0, 1, COUNT)}
ONE_GROUP, ONE_CLASS = {"group": ["g"] * COUNT}, {"truth": ["dim"] * COUNT}
RARE = {"truth": ["bright", *["dim"] * (COUNT - 1)]}
TIMES = {"time": gaps([float(k % UNIT) for k in range(COUNT)])}
WELLS = {"well": gaps([f"w{k // UNIT}" for k in range(COUNT)])}
UNLIKE = {"well": [f"w{k // (2 * UNIT)}" for k in range(COUNT)], "group": [f"g{k // (2 * UNIT)}" for k in range(COUNT)]}
BLANK = {"embedding.0": [None] * COUNT}
RAGGED = {"embedding.0": None, "embedding.1": None, "embedding": ["[1, 2]", "[1, 2, 3]"] * (COUNT // 2)}
NO_ANSWERS = {"prediction": None, "prediction.probability.dim": None, "prediction.probability.bright": None}


def network(task: str) -> Bundle:
    plan = Plan(channels=("grey",), tile=16, scaling={"grey": (0.0, 255.0)}, network="tiny")
    torch.manual_seed(5)
    nets = TASKS[task].build(plan).eval()
    for parameter in nets.parameters():
        nn.init.normal_(parameter, std=0.3)
    return Bundle(Card(task, (plan,)), (NetworkMember(TASKS[task], plan, nets),))


@cache
def model(name: str) -> Path:
    """A bundle of each kind, made once: classes, number, encoder, features."""
    folder = Path(MODELS.name) / name
    folder.mkdir()
    if name == "features":
        known = Manifest.read(rows(folder))
        plan = Plan.of(Facts.of(known), learner="estimator", network="logistic", families=["intensity"])
        return Path(str(train(known, TASKS["classify"], into=folder / "run", plan=plan).folder))
    examples = [{"image": np.random.default_rng(3).integers(0, 255, (1, 16, 16), dtype=np.uint8)}]
    made = bundle_of(**GREY) if name == "classes" else network({"number": "quantify", "encoder": "simclr"}[name])
    replace(made, examples=examples).save(folder / "bundle")
    return folder / "bundle"


def given(words: str, columns: Columns, spoil: Spoil | None = None) -> Callable[[Path], str]:
    """Give a command its words: ROWS is the table, a name in capitals a bundle of that kind.

    `spoil` is given the folder with the table `t.csv` and where the bundle's copy lies, `classes`, before the command.
    """

    def do(folder: Path) -> str:
        places = {"ROWS": rows(folder, **columns)}
        for word in words.split():
            if word.lower() in KINDS and word.isupper():
                places[word] = model(word.lower())
        if spoil is not None and "CLASSES" in places:
            places["CLASSES"] = Path(shutil.copytree(places["CLASSES"], folder / "classes"))
        if spoil is not None:
            spoil(folder)
        command(*(places.get(word, word) for word in words.split()), "--into", folder / "out")
        return "done"

    return do


def refused(
    words: str, what: str, says: str, mend: str, where: str = "", worked: bool = False, **columns: Any
) -> Case:  # fmt: skip
    """A case that leaves nothing behind; or, where it is known only when others have `worked`, nothing half written."""

    def do(folder: Path) -> str:
        try:
            return given(words, columns)(folder)
        except PotencyError:
            left = {path.name for path in (folder / "out").rglob("*") if path.is_file()} - {".lock"}
            assert not {name for name in left if not worked or name.startswith(".") or ".part" in name}, left
            raise

    return Case(words.split(maxsplit=1)[0], what, do, says, mend, where)


def survived(words: str, what: str, says: str, seen: Callable[[Path], object], **columns: Any) -> Case:
    def do(folder: Path) -> str:
        given(words, columns)(folder)
        assert seen(folder / "out"), f"{words}: {says}"
        return says

    return Case(words.split(maxsplit=1)[0], what, do, says)


def lines(name: str) -> Callable[[Path], pd.DataFrame]:
    return lambda out: pd.read_csv(out / name)


ENCODER = "--no-tune --draws 1 --folds 2 --holdout"
QUICK = "--rounds 1 --per-round 2 --seeds 1"
SUGGEST = [
    refused("suggest ROWS --model CLASSES", "rows that all have a label", "every row that may be learned from has a "
            "label already", "add rows whose truth is empty", "truth"),
    refused("suggest ROWS --model CLASSES --n 0", "0 images", "Invalid value for '--n'", "suggest --help"),
    survived("suggest ROWS --model CLASSES --n 100", "more images than there are", "all 12 are suggested",
             lambda out: len(lines("suggestions.csv")(out)) == COUNT // 2, **HALF),
    survived("suggest ROWS --model CLASSES", "images that are all alike", "all 12 are suggested",
             lambda out: len(lines("suggestions.csv")(out)) == COUNT // 2, constant=True, **HALF),
    refused("suggest ROWS --model CLASSES --how entropi", "a way that there is not", "no way to choose 'entropi'",
            "did you mean 'entropy'", **HALF),
    refused("suggest ROWS --model ENCODER", "a model without classes", "entropy needs class probabilities",
            "use coreset", **HALF),
    refused("suggest ROWS --model FEATURES --how coreset", "a model without an embedding", "holds no network",
            "one of potency pretrain", **HALF),
    refused("suggest ROWS --model CLASSES --classes grey", "a class that there is not", "there is no class 'grey'",
            "known: bright, dim", **HALF),
    refused("suggest ROWS --model nowhere", "a model that there is not", "there is no such bundle", "potency train",
            "nowhere", **HALF),
]
REHEARSE = [
    refused("rehearse ROWS --encoder CLASSES", "rows without labels", "only classes can be rehearsed", "--truth",
            **UNLABELLED),
    refused("rehearse ROWS --encoder CLASSES", "numbers", "only classes can be rehearsed", "--truth", **NUMBERS),
    refused("rehearse ROWS --encoder CLASSES", "one group", "all images belong to one group", "--group", **ONE_GROUP),
    refused("rehearse ROWS --encoder CLASSES", "a class of one image", "fewer than two groups: bright", "--classes dim",
            **RARE),
    refused("rehearse ROWS --encoder CLASSES --start 100", "more labels to start with than rows",
            "16 rows to choose from, 100 labels", "start with fewer"),
    refused("rehearse ROWS --encoder CLASSES --start 4 --learner logistics", "a learner that there is not",
            "there is no estimator 'logistics'", "did you mean 'logistic'"),
    refused(f"rehearse ROWS --encoder CLASSES --start 4 --learner knn --how bald {QUICK}",
            "a committee of what takes no weights", "takes no weights", "choose another"),
    refused("rehearse ROWS --encoder FEATURES --start 4", "a model without an embedding", "holds no network",
            "potency pretrain"),
    survived(f"rehearse ROWS --encoder CLASSES --start 4 --how margin {QUICK}", "images that are all alike",
             "told like any other", lambda out: len(lines("rehearsal.csv")(out)), constant=True),
]
LABELS = [
    refused("labels ROWS", "no encoder", "no encoder is named", "--pretrain STEPS", "--encoder"),
    refused("labels ROWS --encoder CLASSES --fractions 5,0", "a share of 0", "'0' is no share of the labels",
            "per cents over 0", "--fractions"),
    refused("labels ROWS --encoder CLASSES --fractions ,", "no share at all", "'' is no share of the labels",
            "per cents over 0", "--fractions"),
    refused("labels ROWS --encoder CLASSES", "rows without labels", "no truth to learn from", "--truth", **UNLABELLED),
    refused("labels ROWS --encoder CLASSES", "one group", "all images belong to one group", "--group", **ONE_GROUP),
    refused("labels ROWS --encoder CLASSES --set steps=many", "a step that is no number", "steps = 'many' does not fit",
            "a value like 300"),
    refused(f"labels ROWS --encoder FEATURES {ENCODER}", "an encoder without a network", "is no network",
            "name a bundle of networks"),
]
PRETRAIN = [
    refused("pretrain ROWS --task simclear", "a task that there is not", "there is no task 'simclear'",
            "did you mean 'simclr'"),
    refused("pretrain ROWS --task classify", "a task that needs labels", "classify needs a truth", "potency train"),
    refused("pretrain ROWS --leave-out group", "rows left out by nothing", "'group' is no COLUMN=VALUE", "fold=0",
            "--leave-out"),
    refused("pretrain ROWS --leave-out grop=g1", "a column that there is not", "there is no column 'grop'",
            "did you mean 'group'", "--leave-out"),
    refused("pretrain ROWS --leave-out group=g9", "a group that there is not", "no row has group g9", "did you mean",
            "--leave-out"),
    refused("pretrain ROWS --leave-out well=w0,w1,w2,w3,w4,w5", "all rows left out", "no row is left to learn from",
            "leave out fewer", "--leave-out"),
    refused("pretrain ROWS --steps 1", "one image", "there is only one image", "add images", count=1),
    refused("pretrain ROWS --set batch=0", "batches of none", "impossible values: batch = 0", "plan --help"),
    survived("pretrain ROWS --steps 1", "images that are all alike, of one group", "learned, and called collapsed",
             lambda out: Bundle.load(out / "bundle").card.validation["log"][-1]["watch_collapsed"], constant=True,
             **ONE_GROUP),
]
CASES = [*SUGGEST, *REHEARSE, *LABELS, *PRETRAIN]

# What meets every command alike: how it comes about, what is said, where.
COMMANDS = (
    "suggest ROWS --model CLASSES", "rehearse ROWS --encoder CLASSES --start 4", "labels ROWS --encoder CLASSES",
    "pretrain ROWS --steps 1", "pool ROWS", "early ROWS --draws 99", "controls ROWS --model CLASSES",
    "explain CLASSES ROWS", "embed ROWS --bundle CLASSES", "similar CLASSES ROWS --among ROWS",
)  # fmt: skip


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


EVERYWHERE: dict[str, tuple[Spoil, str, str]] = {
    "a table that is not there": (lambda it: (it / "t.csv").unlink(), "no such file or folder|do not exist", "t.csv"),
    "an empty table": (lambda it: (it / "t.csv").write_bytes(b""), "is empty", "t.csv"),
    "a table without rows": (lambda it: (it / "t.csv").write_text("image,truth,group\n"), "no rows", "t.csv"),
    "a table without images": (lambda it: (it / "t.csv").write_text("x,y\n1,2\n"), "column", "t.csv"),
    "a damaged bundle": (lambda it: cut(it / "classes" / "weights.safetensors"), "weights are damaged", "classes"),
    "a folder that is a file": (lambda it: (it / "out").write_text("mine"), "'out' is a file, no folder", "out"),
}
