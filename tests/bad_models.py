"""Bad models, one by one: bundles, weights and plans that are damaged, hostile or of another version."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bad_case import Case
from safetensors.torch import load_file, save_file
from small_bundle import bundle_of

from potency.bundle import Bundle
from potency.data.plan import Plan
from potency.networks import Encoder
from potency.networks.weights import load_weights

EXAMPLES = [{"image": np.random.default_rng(3).integers(0, 255, (1, 12 + i, 20), dtype=np.uint8)} for i in range(3)]
COPY = "copy the bundle again"
# A pickle that makes a folder when it is opened.
HOSTILE = "\x80\x04cos\nmkdir\n(V{}\ntR."


def spoiled(item: str, given: str, spoil: Callable[[Path], object], says: str, mend: str = COPY,
            where: str = "bundle") -> Case:
    """A sound bundle, spoiled, then loaded; whatever it holds, nothing runs."""

    def do(folder: Path) -> str:
        replace(bundle_of(), examples=EXAMPLES).save(folder / "bundle")
        spoil(folder / "bundle")
        try:
            return f"loaded: {Bundle.load(folder / 'bundle').fingerprint}"
        finally:
            assert not (folder / "hacked").exists(), "what the bundle held was run"

    return Case(item, given, do, says, mend, where)


def card(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def spoil(bundle: Path) -> None:
        values = json.loads((bundle / "card.json").read_text("utf-8"))
        change(values)
        (bundle / "card.json").write_text(json.dumps(values), "utf-8")

    return spoil


def plan(**changes: Any) -> Callable[[Path], object]:
    return card(lambda values: values["members"][0]["plan"].update(changes))


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], object]:
    def spoil(bundle: Path) -> None:
        state = load_file(bundle / "weights.safetensors")
        change(state)
        save_file(state, bundle / "weights.safetensors")

    return spoil


def bias(value: float) -> Callable[[Path], object]:
    return weights(lambda state: state["net.linear.bias"].fill_(value))


def wrote(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda bundle: (bundle / name).write_bytes(content)


def halved(name: str) -> Callable[[Path], object]:
    def spoil(bundle: Path) -> None:
        content = (bundle / name).read_bytes()
        (bundle / name).write_bytes(content[: len(content) // 2])

    return spoil


def pickled(bundle: Path) -> None:
    (bundle / "weights.safetensors").write_bytes(HOSTILE.format(bundle.parent / "hacked").encode("latin1"))


def wide(values: dict[str, Any]) -> None:
    """A card whose plan takes three channels, as its weights do not."""
    values["members"][0]["plan"] |= {"channels": ["r", "g", "b"], "scaling": dict.fromkeys("rgb", (0.0, 255.0))}


def of_pickle(folder: Path) -> str:
    """A PyTorch file of starting weights that holds code."""
    torch.save({"weight": torch.zeros(3), "more": Runs(folder / "hacked")}, folder / "resnet18.pt")
    try:
        return f"took {load_weights(Encoder('tiny', 1, 2, 32), str(folder / 'resnet18.pt'))} tensors"
    finally:
        assert not (folder / "hacked").exists()


class Runs:
    """Something whose pickle makes a folder when it is opened."""

    def __init__(self, place: Path) -> None:
        self.place = str(place)

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.mkdir, (self.place,)


def climbing(folder: Path) -> str:
    """A bundle sent as an archive, one of whose names leads out of it."""
    with zipfile.ZipFile(folder / "bundle.zip", "w") as file:
        file.writestr("../hacked", "x")
        file.writestr("card.json", "{}")
    try:
        return f"loaded: {Bundle.load(folder / 'bundle.zip').fingerprint}"
    finally:
        assert not (folder / "hacked").exists() and not (folder.parent / "hacked").exists()


def climbing_estimator(folder: Path) -> str:
    """The archive of a classical model, one of whose names leads out of it: nothing is ever unpacked."""
    from potency.estimators import Fitted

    with zipfile.ZipFile(folder / "weights.skops", "w") as file:
        file.writestr("../hacked", "x")
        file.writestr("estimator.json", "{}")
        file.writestr("schema.json", json.dumps({"__module__": "os", "__class__": "system", "file": "../hacked"}))
    try:
        return str(Fitted.loads((folder / "weights.skops").read_bytes(), "weights.skops"))
    finally:
        assert not (folder.parent / "hacked").exists()


def channels(folder: Path) -> str:
    replace(bundle_of(), examples=EXAMPLES).save(folder / "bundle")
    return str(Bundle.load(folder / "bundle")([{"image": np.arange(1024, dtype=np.uint16).reshape(4, 16, 16)}]))


def grey_in_colour(folder: Path) -> str:
    replace(bundle_of(), examples=EXAMPLES).save(folder / "bundle")
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    plain, coloured = Bundle.load(folder / "bundle")([{"image": grey}, {"image": np.repeat(grey, 3, axis=0)}])
    np.testing.assert_array_equal(plain.probability, coloured.probability)  # type: ignore[attr-defined]
    return "answered as the grey picture that it is"


def planned(text: str) -> Callable[[Path], str]:
    def do(folder: Path) -> str:
        (folder / "plan.json").write_text(text, "utf-8")
        return str(Plan.read(folder / "plan.json"))

    return do


CASES = [
    spoiled("pickle disguised as weights", "a pickle named weights.safetensors", pickled,
            "the weights are a pickle, which could run code", "as potency wrote it"),
    Case("pickle disguised as weights", "--weights of a PyTorch file that holds code", of_pickle,
         "the file is not plain tensors", "save the state dict as safetensors", "resnet18.pt"),
    spoiled("newer schema", "a bundle of a later potency", card(lambda c: c.update(schema=99, potency="9.0")),
            "written by potency 9.0 (schema 99, known up to", "pip install --upgrade"),
    spoiled("wrong shapes", "a tensor of another shape",
            weights(lambda s: s.update({"net.linear.weight": torch.zeros(7, 3)})),
            "the weights do not fit the plan: 1 tensors differ", "copy card and weights from the same bundle"),
    spoiled("wrong shapes", "weights of another network", plan(network="resnet18"), "the weights do not fit the plan",
            "copy card and weights"),
    spoiled("wrong shapes", "a card of three channels, weights of one", card(wide), "the weights do not fit the plan",
            "copy card and weights"),
    Case("wrong shapes", "an image of 4 channels for a model of 1", channels,
         "the image has 4 channels, the model takes 1", "give images with the channels", "channels 0"),
    Case("wrong shapes", "a grey picture saved in colour for a model of 1 channel", grey_in_colour,
         "answered as the grey"),
    spoiled("NaN weights", "a weight that is no number", bias(float("nan")), "hold not-a-number or infinity",
            "train again"),
    spoiled("changed weights", "a weight that somebody changed", bias(50.0), "answers its own examples differently",
            "copy"),
    spoiled("missing card", "no card", lambda b: (b / "card.json").unlink(), "the bundle has no card", "potency train"),
    spoiled("missing card", "a card that breaks off", wrote("card.json", b"{"), "the card cannot be read"),
    spoiled("missing card", "JSON of somebody else", wrote("card.json", b"[1]"), "the card is not one of a bundle",
            "potency train"),
    spoiled("missing card", "a card 200,000 brackets deep", wrote("card.json", b"[" * 200_000),
            "the card cannot be read"),
    spoiled("missing card", "a card without members", card(lambda c: c.update(members=[])), "the card names no member"),
    spoiled("missing card", "a task that is not known", card(lambda c: c.update(task="clasify")),
            "the bundle's task 'clasify' is not known", "did you mean 'classify'"),
    spoiled("missing card", "a learner that is not known", plan(learner="magic"), "the learner 'magic' is not known",
            "known:"),
    spoiled("damaged files", "no weights", lambda b: (b / "weights.safetensors").unlink(),
            "a file of the bundle is missing"),
    spoiled("damaged files", "half of the weights", halved("weights.safetensors"), "the weights are damaged"),
    spoiled("damaged files", "half of the examples", halved("examples.safetensors"),
            "examples of the bundle cannot be read"),
    Case("path traversal in the archive", "a zip with ../ in a name", climbing, "a bundle is a folder, this is a file",
         "unpack it", "bundle.zip"),
    Case("path traversal in the archive", "a saved estimator with ../ in a name", climbing_estimator,
         "holds a foreign type: os.system", "people you trust", "weights.skops"),
    Case("unknown key of a plan", "a plan with an unknown key", planned('{"nettwork": "tiny"}'),
         "the plan has no 'nettwork' (did you mean 'network'?)", "use the names that `potency plan` prints",
         "plan.json"),
    Case("unknown key of a plan", "a plan that breaks off", planned('{"network": '), "the plan cannot be read",
         "write one with `potency plan`", "plan.json"),
    spoiled("unknown key of a plan", "a bundle whose plan has an unknown key", plan(nettwork=1),
            "the plan has no 'nettwork'", "use the names", where="plan"),
]  # fmt: skip
