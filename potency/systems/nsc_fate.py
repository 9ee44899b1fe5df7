"""System nsc-fate: which differentiation medium a single neural stem cell grew in, from its brightfield crop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.errors import ManifestError
from potency.systems.comparison import Comparison, Scene, write
from potency.systems.recipe import Asked, Budget, Fact, Figure, Learned, Order, Recipe

if TYPE_CHECKING:
    import pandas as pd

    from potency.data.manifest import Manifest

BINARY = Figure(
    "accuracy", "99.7 %", "astrocyte v. oligodendrocyte medium; the text credits MobileNet, the abstract ResNet50"
)
FOUR = Figure("accuracy", "93.3 %", "four media, ResNet50")
AREAS_UNDER = {  # one-v-rest, four media, ResNet50
    "astrocyte": Figure("AUC astrocyte", ".99", "four media, one v. rest, ResNet50"),
    "oligodendrocyte": Figure("AUC oligodendrocyte", ".99", "four media, one v. rest, ResNet50"),
    "RA-SHH": Figure("AUC RA-SHH", ".96", "four media, one v. rest, ResNet50"),
    "NT-3": Figure("AUC NT-3", "1.00", "four media, one v. rest, ResNet50"),
}
NETWORKS = ("resnet18", "mobilenetv3", "tiny")
# Minutes on two cores: enough to run to the report and to learn something, not enough to learn all there is.
QUICK = Budget(
    "quick", NETWORKS, rows=600, cells=400, steps={"resnet18": 30, "mobilenetv3": 60, "tiny": 200},
    changes={"batch": 32, "validations": 2},
)  # fmt: skip
FULL = Budget("full", NETWORKS, rows=0, cells=6000, holdout=False)
JURKAT = "jurkat_ifc_cellcycle"
CLASSES = ("G1", "S_phase", "G2", "Prophase")  # the other three have too few groups
CLONES = 40  # simulated groups: a fifth of them must still give an interval
SEED = 0
OWN = {"prediction": "", "prediction@random": "-random"}  # columns of the network itself, under each split


@dataclass(frozen=True)
class Problem:
    """One question to one set of images."""

    name: str  # of its folder
    title: str
    about: str
    manifest: Manifest
    simulated: bool
    published: Mapping[str, Figure] = field(default_factory=dict)  # metric -> the figure it stands beside


def run(order: Order) -> Path:
    """Both questions on the simulated world and on the nearest real relative, by group and at random; the page."""
    scenes, plans = [], []
    for problem in _problems(order):
        order.say(
            f"{problem.title}: {len(problem.manifest)} images, {problem.manifest.table['group'].nunique()} groups"
        )
        scene, plan = _scene(problem, order)
        scenes.append(scene)
        plans.append(plan)
    real = any(not scene.simulated for scene in scenes)
    comparison = Comparison(
        system=RECIPE,
        scenes=tuple(scenes),
        protocol=protocol(plans[0], order.budget),
        banner=(
            "The labels of the published data are differentiation media, not fates; those of the images here are named "
            "in each section, which says whose images they are. The published images are not part of this program.",
            *(() if real else ("No real images were used: everything below is simulated. Name a folder with --data.",)),
        ),
        command=f"potency reproduce {RECIPE.id}" + (" --quick" if order.budget is QUICK else "")
        + (f" --data {order.data}" if order.data else ""),
    )  # fmt: skip
    return write(comparison, order.into)


def _problems(order: Order) -> Iterator[Problem]:
    real = _real(order)
    if real is not None:
        two = real.keep(_pair(real.classes))
        names = " v. ".join(two.classes)
        yield Problem(
            "real-binary", f"Real images, two classes: {names}", _about(order, real), two, False, {"accuracy": BINARY}
        )
        if len(real.classes) > 2:
            title = f"Real images, {len(real.classes)} classes"
            yield Problem("real-multiclass", title, _about(order, real), real, False, _four(real))
    from potency.simulate import simulate

    order.say(f"simulating {order.budget.cells} neural stem cells")
    place = order.into / "simulated"
    world = simulated_before(place) or simulate(
        place, kind="crops", look="brightfield", classes=4, cells=order.budget.cells, groups=CLONES, seed=SEED
    )
    about = (
        "A simulated world of differentiating neural stem cells in brightfield: labels are the fates the program drew, "
        "groups are its clones. It shows that the whole way runs; its difficulty is ours, not nature's."
    )
    pair = world.keep(("astrocyte", "oligodendrocyte"))
    yield Problem(
        "simulated-binary", "Simulated cells, astrocyte v. oligodendrocyte", about, pair, True, {"accuracy": BINARY}
    )
    yield Problem("simulated-multiclass", "Simulated cells, four fates", about, world, True, _four(world))


def _four(manifest: Manifest) -> dict[str, Figure]:
    """The published multiclass figures that these classes stand beside."""
    return {"accuracy": FOUR} | {f"auc.{name}": AREAS_UNDER[name] for name in manifest.classes if name in AREAS_UNDER}


def simulated_before(place: Path) -> Manifest | None:
    """What a run that was stopped has simulated already."""
    from potency.data.manifest import Manifest

    return Manifest.read(place) if (place / "parameters.json").is_file() else None


def _real(order: Order) -> Manifest | None:
    """The rows of --data: the relative in a collection of real images, or whatever table or folder the user names."""
    from potency.data.manifest import Manifest

    if order.data is None:
        return None
    if not order.data.exists():
        raise ManifestError("there is no such folder", str(order.data), "check the path given as --data")
    collection = order.data / "classify"
    relative = order.data if order.data.name == JURKAT else collection / JURKAT
    if relative.is_dir():
        return _sampled(Manifest.read(relative, classes=CLASSES), order.budget.rows)
    if collection.is_dir():
        order.say(f"{collection} holds no {JURKAT}: no real images are used")
        return None
    own = Manifest.read(order.data)
    if len(own.classes) < 2:
        raise ManifestError("a class to learn is missing", str(order.data), "give images of at least two classes")
    return _sampled(own, order.budget.rows)


def _pair(classes: Sequence[str]) -> tuple[str, ...]:
    """The two classes of the binary question: the published media, those of the relative, else the first two."""
    known = (("astrocyte", "oligodendrocyte"), ("G1", "G2"))
    return next((pair for pair in known if set(pair) <= set(classes)), tuple(classes[:2]))


def _about(order: Order, real: Manifest) -> str:
    if JURKAT in str(real.folder):
        return (
            "Jurkat cells by imaging flow cytometry, brightfield (Blasi et al. 2016): the nearest real relative of the "
            "published images that is at hand, with another cell, another question (cell-cycle phase) and groups that "
            "are only columns of a montage. The published figure stands beside it for orientation, not as a target."
        )
    groups = real.origin.get("group", "unknown")
    return f"Images of {order.data}, as given: classes {', '.join(real.classes)}; groups: {groups}."


def _sampled(manifest: Manifest, rows: int) -> Manifest:
    """A random part of the rows, as the publication took 15 %."""
    if not rows or len(manifest) <= rows:
        return manifest
    chosen = np.random.default_rng(SEED).permutation(len(manifest)) < rows
    return manifest.where(chosen.tolist())


def _scene(problem: Problem, order: Order) -> tuple[Scene, Mapping[str, Any]]:
    """Every network under both splits, the baselines beside the first, and the evaluation of them all."""
    from potency.evaluation.evaluate import evaluate

    place, budget = order.into / problem.name, order.budget
    manifest, names, facts = problem.manifest, dict[str, str](), dict[str, Any]()
    for network in budget.networks:
        order.say(f"{problem.title}: {network}, by group and at random")
        steps = {"steps": budget.steps[network]} if network in budget.steps else {}
        first = not facts
        asked = Asked(
            network, holdout=budget.holdout, baselines=("forest", "trivial") if first else (),
            changes={"seed": SEED, **budget.changes, **steps}, title=f"nsc-fate: {problem.title}, {network}",
        )  # fmt: skip
        learned = order.learn(problem.manifest, asked, place / network)
        renamed = _columns(learned, network, first)
        manifest = manifest.add(renamed)
        names |= {column: network for column in _mains(renamed) if column in OWN or not first}
        facts = facts or dict(learned.facts)
    report = evaluate(
        manifest,
        predictions=sorted(_mains(manifest.table), key=lambda name: (name != "prediction", name.endswith("random"))),
        facts={
            **{key: facts[key] for key in ("split", "split_kind", "fingerprint", "versions", "plan") if key in facts},
            "title": f"nsc-fate: {problem.title}", "names": names, "simulated": problem.simulated,
        },
    )  # fmt: skip
    report.write(place)
    scene = Scene(problem.name, problem.title, problem.about, problem.simulated, report, problem.published)
    return scene, facts.get("plan", {})


def _mains(table: pd.DataFrame) -> list[str]:
    """The prediction columns without their parts."""
    return [str(name) for name in table if str(name).startswith("prediction") and "." not in str(name)]


def _columns(learned: Learned, network: str, first: bool) -> pd.DataFrame:
    """A network's answers under its name; of the first, which is compared with the rest, everything as it is."""
    if first:
        return learned.rows
    own = {name: f"prediction@{network}{end}" for name, end in OWN.items()}
    renamed = {}
    for name in learned.rows:
        source, dot, part = str(name).partition(".")
        if source in own:
            renamed[str(name)] = own[source] + dot + part
    return learned.rows[["id", *renamed]].rename(columns=renamed)


def protocol(plan: Mapping[str, Any], budget: Budget) -> tuple[Fact, ...]:
    """Every value of the protocol, published or ours; `plan` gives the values that the training used."""

    def ours(what: str, key: str, said: str = "", show: Callable[[Any], str] = str) -> Fact:
        return Fact(what, said, show(plan[key]) if key in plan else "as planned")

    sample = f"at most {budget.rows} rows at random" if budget.rows else "all rows"
    return (
        Fact("cells", "embryonic rat neural stem cells, 800,000 single-cell images in nine media", "see each section"),
        Fact("media kept", "astrocyte, oligodendrocyte, RA/SHH, NT-3", "see each section"),
        Fact("sample", "random 15 % = 90,000", f"{sample}; {budget.cells} simulated cells"),
        Fact("input", "greyscale", "greyscale"),
        Fact("channel", "brightfield, GFAP, Olig2, NeuN at hand; which were the input is not stated",
             "brightfield only: the stains give the answer away"),
        Fact("crop", "45x60, 60x60 or 75x75, resized; which network gets which is not stated",
             "x".join(map(str, plan.get("tile", "?"))) + " px, padded, never stretched"),
        Fact("split", "random 80/20", "random 80/20"),
        Fact("split beside it", "", "whole groups, " + ("one fold of five" if budget.holdout else "five folds")),
        Fact("validation", "none mentioned", "a fifth of the training rows, whole groups under the group split"),
        Fact("networks", "MobileNet (v1), VGG19, InceptionV3, ResNet18, ResNet50", ", ".join(budget.networks)),
        Fact("initial weights", "transfer learning; of what is not stated", str(plan.get("weights") or "from scratch")),
        Fact("head", "average pooling, dropout, dense; sizes not stated", "average pooling, dropout, one linear layer"),
        Fact("test accuracy as main figure", "yes", "yes"),
        Fact("optimiser", "", "AdamW, warm-up and cosine decay"), Fact("loss", "", "cross-entropy"),
        ours("learning rate", "rate"), ours("weight decay", "decay"), ours("batch", "batch"),
        ours("dropout rate", "dropout"), ours("label smoothing", "smoothing"), ours("class balance", "balance"),
        Fact("steps", "", ", ".join(f"{n} {budget.steps.get(n, 'as planned')}" for n in budget.networks)),
        ours("augmentation", "augment", show=lambda a: ", ".join(a) or "the defaults of `potency train`"),
        ours("seed", "seed"),
        Fact("binary question on real images", "astrocyte v. oligodendrocyte medium", "the two classes named there"),
    )  # fmt: skip


RECIPE = Recipe(
    id="nsc-fate",
    title="Neural stem cell differentiation (Parthasarathy et al. 2024; data of Zhu et al. 2021)",
    area="A",
    published=(
        Figure("binary accuracy", BINARY.value, BINARY.stated),
        Figure("4-class accuracy", FOUR.value, FOUR.stated),
        *AREAS_UNDER.values(),
        Figure("other backbones", "-", "not published"),
    ),
    missing=(
        "MobileNet v1, VGG19, InceptionV3, ResNet50 (v1 and v2): all five backbones from one command",
        "transfer learning from pre-trained weights",
        "ensembling (averaged and concatenated features)",
        "Bayesian hyper-parameter search",
        "feature visualisation",
        "stained channels as a declared leak demonstration",
        "the published images: real figures are of the nearest relative at hand",
    ),
    method="single-cell imaging-flow-cytometry crops; MobileNet, VGG19, InceptionV3, ResNet18, ResNet50; 80/20",
    run=run,
    budgets=(QUICK, FULL),
)
