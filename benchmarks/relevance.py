"""Explanations measured: the books of relevance on every backbone, what maps are worth, evidence that is known.

`python benchmarks/relevance.py --into out/relevance [--json] [--quick] [--parts accounts,faithful]`.

accounts: every backbone with fresh weights and after STEPS steps on real (else simulated) cells: the worst layer's and
the sum's error, the three shares (medians over images), and what it costs beside a forward and a backward pass to the
image. Beside them zennit (EpsilonPlusFlat, as it comes) on the same trained networks: the share of the score that its
map sums to. What is done is kept when the run is stopped.
faithful: on test rows of fold 0 (256 of them for slow methods), for the log-odds of the answer, deletion by relevance
beside chance and gradient times input, as paired differences with intervals by bootstrap over groups; a row for every
other method. The way of relevance is chosen on 64 rows of fold 1.
evidence: on simulated cells of known evidence, how much of a map lies inside it. Real sets are read from POTENCY_DATA.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from side_by_side import interleaved, interval, kept, tell
from torch import Tensor, nn

from potency.bundle import NetworkMember
from potency.data.facts import Facts
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.data.tiles import fit, stretch
from potency.explanation import METHODS, Method, background, faithful, propagate
from potency.explanation.choice import Case, fitted
from potency.inference.view import View, windows
from potency.learning.train import train
from potency.networks import BACKBONES
from potency.simulate import simulate
from potency.tasks import TASKS

STEPS, TILE, SHOWN, CHOOSING = 20, 64, 256, 64
RIVAL, WHOLE = "gradient-input", ("relevance", "gradient-input", "integrated")  # the latter on all test rows
LEFT_OUT = ("smoothgrad", "attention")  # too slow here; of networks that pool patches
PHASES = ("G1", "S_phase", "G2", "Prophase")
SETS = {"jurkat": ("jurkat_ifc_cellcycle", PHASES), "mitocheck": ("mitocheck_nuclei16", ())}
BESIDE = ("vgg19-bn", "resnet18", "resnet50", "densenet121", "mobilenetv3", "efficientnet-b0", "efficientnetv2-s")
TASK = TASKS["classify"]


def rows_of(name: str, into: Path, quick: bool) -> Manifest | None:
    """Rows with fold 0 as the test, by group; None where a real set is not at hand."""
    if name == "simulator":
        place = into / f"simulator{'-quick' * quick}"
        if not place.exists():
            simulate(place, cells=120 if quick else 3000, groups=10 if quick else 60, look="brightfield")
        return Manifest.read(place).split(folds=5)
    if not (where := os.environ.get("POTENCY_DATA")):
        return None
    folder, classes = SETS[name]
    rows = Manifest.read(Path(where) / "classify" / folder)
    return (rows.keep(classes) if classes else rows).split(folds=5)


def cut(member: NetworkMember, rows: Manifest) -> Tensor:
    """The crops of rows, one each, as the network sees them."""
    samples = []
    for row in rows.records():
        view = View.of(rows, row, member.plan)
        samples.append({"image": view.crop(windows(view.shape, member.plan)[0])})
    return torch.from_numpy(member.crops(samples))


def batches(rows: Manifest | None) -> tuple[Tensor, Tensor]:
    """Crops (N, 1, 64, 64) in 0..1 and their classes, to let a network live a little; without rows, some squares."""
    chance = torch.Generator().manual_seed(0)
    if rows is None:
        images = torch.rand(256, 1, TILE, TILE, generator=chance) * 0.2 + 0.3
        labels = torch.arange(256) % 2
        images[labels == 1, :, 20:44, 20:44] += 0.4
        return images, labels
    few = rows.where(rows.table.index.isin(rows.table.sample(min(256, len(rows)), random_state=0).index))
    cells = [stretch(few.open(row).crop()[:1], TILE).astype(np.float32) for row in few.records()]
    low, high = np.percentile(np.stack(cells), (1, 99))
    images = torch.from_numpy((np.stack(cells) - low) / (high - low)).float().clamp(-0.5, 1.5)
    return images, torch.tensor([few.classes.index(str(label)) for label in few.table["truth"]])


def lived(name: str, images: Tensor, labels: Tensor, steps: int) -> nn.ModuleDict:
    torch.manual_seed(0)
    classes = tuple(str(k) for k in range(int(labels.max()) + 1))
    plan = Plan(channels=("grey",), classes=classes, network=name, tile=TILE)
    nets = TASK.build(plan)
    learn = torch.optim.AdamW(nets.parameters(), lr=5e-4)
    chance = torch.Generator().manual_seed(0)
    nets.train()
    for _ in range(steps):
        pick = torch.randint(len(images), (16,), generator=chance)
        loss = nn.functional.cross_entropy(TASK.forward(nets, {"image": images[pick]})["output"], labels[pick])
        learn.zero_grad()
        loss.backward()
        learn.step()
    return nets.eval()


def account(name: str, images: Tensor, labels: Tensor, steps: int, repeats: int = 3) -> Iterator[dict[str, Any]]:
    nets = lived(name, images, labels, steps)
    weights = "trained" if steps else "fresh"

    def run(images: Tensor) -> Mapping[str, Tensor]:
        return TASK.forward(nets, {"image": images})

    def score(output: Mapping[str, Tensor]) -> Tensor:
        return output["output"].max(1).values

    shown = images[:8]  # what is handed back is what lies beyond their background
    found = propagate(run, score, shown, reference=background(shown).expand_as(shown))
    row = {
        "name": name, "weights": weights, "source": "potency", "role": "target",
        "layer_error": found.layer_error, "sum_error": float(found.sum_error.max()),
        **{f"{part}_share": float(found.share(part).median()) for part in ("input", "bias", "absorbed")},
    }  # fmt: skip
    nets.requires_grad_(False)

    def both() -> None:
        leaf = shown.clone().requires_grad_()
        torch.autograd.grad(score(run(leaf)).sum(), leaf)

    costs = interleaved({"both": both, "relevance": lambda: METHODS["relevance"](run, score, shown)}, repeats)
    yield row | {"cost_ratio": costs["relevance"] / costs["both"]}
    if name in BESIDE and steps and (share := beside(nets, shown)) is not None:
        yield {"name": name, "weights": weights, "source": "zennit", "role": "other", "input_share": share}


def beside(nets: nn.ModuleDict, images: Tensor) -> float | None:
    """What zennit's map sums to, as a share of the score."""
    try:
        from zennit.attribution import Gradient
        from zennit.composites import EpsilonPlusFlat
    except ImportError:
        return None

    class Output(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = nets["net"]

        def forward(self, image: Tensor) -> Tensor:
            return torch.as_tensor(self.network(image)["output"])

    whole = Output()
    output = whole(images).detach()
    chosen = nn.functional.one_hot(output.argmax(1), output.shape[1])
    try:
        with Gradient(whole, EpsilonPlusFlat()) as attributor:
            _, found = attributor(images.clone(), chosen * output)
    except RuntimeError:  # an operation in place among its hooks
        return None
    return float((found.sum((1, 2, 3)) / output.max(1).values).median())


def learned(name: str, rows: Manifest, into: Path, quick: bool) -> NetworkMember:
    inner = rows.fold(0)
    plan = Plan.of(Facts.of(inner.of("train")), task="classify")
    plan = plan.but(steps=20, validations=2) if quick else plan
    member = train(inner, TASK, into=into / f"{name}{'-quick' * quick}-run", plan=plan).members[0]
    assert isinstance(member, NetworkMember)
    return member


def faith(name: str, into: Path, quick: bool, methods: list[str]) -> Iterator[dict[str, Any]]:
    rows = rows_of(name, into, quick)
    if rows is None:
        return
    member = learned(name, rows, into, quick)

    def run(images: Tensor) -> Mapping[str, Tensor]:
        return TASK.forward(member.nets, {"image": images})

    chosen = cases(run, cut(member, some(rows, 1, CHOOSING)))
    ways = {method: fitted(METHODS[method], run, chosen) for method in methods}
    others = (RIVAL, *(method for method in methods if method not in WHOLE))
    for most, part in ((SHOWN if quick else len(rows), WHOLE), (SHOWN, others)):
        test, asked = some(rows, 0, most), {method: ways[method] for method in part if method in ways}
        found = measured(name, test, cut(member, test), run, asked) if len(asked) > 1 else ()
        yield from (row for row in found if part is WHOLE or row["method"] != RIVAL)


def some(rows: Manifest, fold: int, most: int) -> Manifest:
    """At most so many rows of a fold, drawn once."""
    inside = rows.where(rows.table["fold"].eq(fold))
    drawn = inside.table.sample(min(most, len(inside)), random_state=0).index
    return inside.where(inside.table.index.isin(drawn).tolist())


def cases(run: Any, images: Tensor) -> list[Case]:
    """Eight images at a time: the log-odds of each one's answer, and its probability, whatever they are turned into."""
    with torch.no_grad():
        answers = run(images)["output"].argmax(1)

    def case(part: Tensor, said: Tensor) -> Case:
        def chosen(logits: Tensor) -> Tensor:  # the steps of an image come one after the other
            return nn.functional.one_hot(said.repeat_interleave(len(logits) // len(said)), logits.shape[1]).bool()

        def score(output: Mapping[str, Tensor]) -> Tensor:
            logits = output["output"]
            others = logits.detach().masked_fill(chosen(logits), -torch.inf).softmax(1)
            return logits[chosen(logits)] - (others * logits).sum(1)

        def told(shown: Tensor) -> Tensor:
            with torch.no_grad():
                logits = run(shown)["output"]
            return logits.softmax(1)[chosen(logits)]

        return Case(part, score, told)

    return [case(images[at : at + 8], answers[at : at + 8]) for at in range(0, len(images), 8)]


def measured(
    name: str, test: Manifest, images: Tensor, run: Any, methods: Mapping[str, Method]
) -> Iterator[dict[str, Any]]:
    groups = test.table["group"].to_numpy()
    evidence = known(test, images)
    gains: dict[str, NDArray[Any]] = {}
    inside: dict[str, NDArray[Any]] = {}
    for at, case in enumerate(cases(run, images)):
        by_chance = faithful.chance(case.told, case.images)
        for method, way in methods.items():
            values = way(run, case.focus, case.images).values
            curve = faithful.curves(case.told, case.images, values, by_chance)
            gains[method] = np.append(gains.get(method, ()), curve.deletion)
            gains[f"{method}+"] = np.append(gains.get(f"{method}+", ()), curve.insertion)
            if evidence is not None:
                part = evidence[at * 8 : at * 8 + 8]
                inside[method] = np.append(inside.get(method, ()), share_inside(values, part))
    for method in methods:
        target = method == "relevance"
        mean, low, high = interval(gains[method], groups)
        more, least, _ = interval(gains[method] - gains[RIVAL], groups)
        yield {
            "name": f"faithful:{name}" if target else f"{name}:{method}", "source": "potency", "method": method,
            "role": "target" if target else "other", "images": len(images), "groups": len(np.unique(groups)),
            "gain_over_random": mean, "low": low, "high": high,
            **({} if method == RIVAL else {"gain_over_gxi": more, "gain_over_gxi_low": least}),
            "insertion_gain": float(gains[f"{method}+"].mean()),
            **({"way": methods[method].way} if methods[method].way else {}),
        }  # fmt: skip
    if evidence is not None:
        seen = np.array([mask.any() for mask in evidence])
        area = float(np.mean([mask.mean() for mask in evidence[seen]]))
        for method in methods:
            mean, low, high = interval(inside[method][seen], groups[seen])
            yield {"name": f"evidence:{method}", "source": "potency", "method": method, "role": "other",
                   "images": int(seen.sum()), "inside": mean, "low": low, "high": high, "area": area}  # fmt: skip


def known(test: Manifest, images: Tensor) -> NDArray[np.bool_] | None:
    """Where the fate of each cell can be seen, in the frame of the crops."""
    if "evidence" not in test.table:
        return None
    from PIL import Image as Picture

    masks = [np.asarray(Picture.open(test.folder / path)) for path in test.table["evidence"]]
    return np.stack([fit(mask[None], tuple(images.shape[2:]))[0] > 0 for mask in masks])  # type: ignore[arg-type]


def share_inside(values: Tensor, masks: NDArray[np.bool_]) -> NDArray[Any]:
    """The part of a map's positive relevance that lies inside a mask."""
    size = values.sum(1).clamp_min(0).numpy()
    return np.asarray((size * masks).sum((1, 2)) / np.maximum(size.sum((1, 2)), 1e-30))


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--into", type=Path, default=Path("out/relevance"))
    asked.add_argument("--parts", default="accounts,faithful")
    for switch in ("--json", "--quick"):
        asked.add_argument(switch, action="store_true")
    given, rows = asked.parse_args(), list[dict[str, Any]]()
    if "accounts" in given.parts:
        images, labels = batches(rows_of("jurkat", given.into, given.quick))
        for name in ["tiny", "mobilenetv3"] if given.quick else BACKBONES:
            for steps in (0, 2 if given.quick else STEPS):
                made = partial(account, name, images, labels, steps, 1 if given.quick else 3)
                rows += kept(given.into / "rows", f"{name}-{steps}-{len(images)}", made)
    if "faithful" in given.parts:
        methods = ["relevance", "gradient-input"] if given.quick else [m for m in METHODS if m not in LEFT_OUT]
        for name in ("simulator",) if given.quick else (*SETS, "simulator"):
            made = partial(faith, name, given.into, given.quick, methods)
            rows += kept(given.into / "rows", f"faithful-{name}{'-quick' * given.quick}", made)
    tell(rows, given.json)


if __name__ == "__main__":
    main()
