"""System nsc-fate: which differentiation medium a single neural stem cell grew in, from its brightfield crop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.systems.arms import Compared, Problem, by_group, chosen, compare, paper
from potency.systems.recipe import Arm, Budget, Fact, Figure, Order, Recipe
from potency.systems.sources import Relative, real, simulated

if TYPE_CHECKING:
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
# The published text gives three sizes and five networks, not which goes with which. InceptionV3 needs 75 px.
SIZES = {"resnet50": "60x60", "resnet18": "60x60", "vgg19-bn": "45x60", "inceptionv3": "75x75", "mobilenetv1": "60x60"}
TITLES = {"resnet50": "ResNet50", "resnet18": "ResNet18", "vgg19-bn": "VGG19 (batch norm)",
          "inceptionv3": "InceptionV3", "mobilenetv1": "MobileNet (v1)"}  # fmt: skip
ARMS = tuple(
    Arm(title, {"network": network, "tile": SIZES[network], "fitting": "stretch"}) for network, title in TITLES.items()
)


def joined(*networks: str) -> Arm:
    """A linear model on the features of several networks side by side, each on its own crop."""
    members = [{"network": n, "tile": SIZES[n], "fitting": "stretch"} for n in networks]
    name = " + ".join(TITLES[n] for n in networks) + ", features concatenated"
    return Arm(name, {"learner": "estimator", "network": "logistic", "members": members, "fitting": "stretch"})


LIGHT = {"batch": 32, "validations": 2, "test_views": 1, "precision": "bfloat16"}
TRIED = tuple(arm for arm in ARMS if arm.changes["network"] in ("resnet18", "mobilenetv1"))
QUICK = Budget("quick", TRIED, rows=300, cells=240, passes=1, changes={**LIGHT, "validations": 1})
OURS = {"network": "tiny", "tile": "64x64", "precision": "float32", "weights": None}
TINY = (
    Arm("tiny (ours)", OURS, passes=6),
    Arm("tiny (ours), settings searched", {**OURS, "validations": 4}, passes=6, trials=8),
)
DEFAULT = Budget("default", (*ARMS, joined("resnet18", "mobilenetv1"), *TINY), cells=800, passes=2, changes=LIGHT)
LONGER = tuple(replace(arm, passes=0, trials=4 * arm.trials) for arm in TINY)
FULL = Budget(
    "full", (*ARMS, joined("vgg19-bn", "inceptionv3"), *LONGER),
    cells=20_000, passes=50, changes={"batch": 32, "weights": "imagenet"},
)  # fmt: skip
FEW, SMALL = 1000, 8  # rows below which 40 steps of 32 crops teach nothing, and the crops of a step there
CLONES = 40  # simulated groups: a fifth of them must still give an interval
RELATIVE = Relative(
    "classify/jurkat_ifc_cellcycle",
    "Jurkat cells by imaging flow cytometry, brightfield (Blasi et al. 2016): the nearest real relative of the "
    "published images that is at hand, with another cell, another question (cell-cycle phase) and groups that "
    "are only columns of a montage. The published figure stands beside it for orientation, not as a target.",
    ("G1", "S_phase", "G2", "Prophase"),  # the other three have too few groups
)

STAINS = ("brightfield", "dna_pi")  # channels of the relative: the phase was called from the second of them
MARKERS = ("brightfield", "GFAP", "Olig2", "NeuN")  # folders of the published data, where a user has them
LEAKED = ("forest",)  # features of a stain give the answer away in any budget, also where a network learns too short
LEAK = "A leak, shown on purpose: "

MEDIA = (
    "The labels of the published data are differentiation media, not fates; those of the images here are named "
    "in each section, which says whose images they are. The published images are not part of this program."
)


def run(order: Order) -> Path:
    """Both questions on the simulated world and on the nearest real relative, by group and at random; the page."""
    look = _looked_into(order.budget)
    compared: list[Compared] = []
    for one in _problems(order):  # one network of the first question is looked into: more would say the same again
        told = _stepping(order, one)
        compared.append(compare(one, order.budget.arms, told, averaged=True, look="" if compared else look))
    compared += [compare(problem, [_cheapest(order.budget)], order, baselines=LEAKED) for problem in _leaks(order)]
    plan = next(iter(compared[0].plans.values()))
    return paper(RECIPE, order, [one.scene for one in compared], protocol(plan, order.budget), banner=(MEDIA,))


def _stepping(order: Order, problem: Problem) -> Order:
    """The order with small batches where rows are few: as many crops are then steps enough to learn something."""
    if len(problem.manifest) >= FEW:
        return order
    return replace(order, budget=replace(order.budget, changes={**order.budget.changes, "batch": SMALL}))


def _problems(order: Order) -> Iterator[Problem]:
    source = real(order, RELATIVE, (), _markers(order)[:1])
    if source is not None:
        rows = source.manifest
        if len(rows.classes) > 2:
            title = f"Real images, {len(rows.classes)} classes"
            yield Problem("real-multiclass", title, source.about, rows, False, _four(rows))
        two = rows.keep(_pair(rows.classes))
        title = f"Real images, two classes: {' v. '.join(two.classes)}"
        yield Problem("real-binary", title, source.about, two, False, {"accuracy": BINARY})
    cells = order.budget.cells
    world = simulated(
        order.into / "simulated", order, f"{cells} neural stem cells",
        kind="crops", look="brightfield", classes=4, cells=cells, groups=CLONES,
    )  # fmt: skip
    about = (
        "A simulated world of differentiating neural stem cells in brightfield: labels are the fates the program drew, "
        "groups are its clones. It shows that the whole way runs; its difficulty is ours, not nature's."
    )
    yield Problem("simulated-multiclass", "Simulated cells, four fates", about, world, True, _four(world))
    pair = world.keep(("astrocyte", "oligodendrocyte"))
    title = "Simulated cells, astrocyte v. oligodendrocyte"
    yield Problem("simulated-binary", title, about, pair, True, {"accuracy": BINARY})


def _leaks(order: Order) -> Iterator[Problem]:
    """The same questions with the stains among the channels: what a label-free figure must never be taken from."""
    source = real(order, RELATIVE, STAINS, _markers(order))
    if source is not None and (len(_markers(order)) > 1 or not source.own):
        about = (
            "The same cells, with their stains beside the brightfield"
            + (". " if source.own else ": their phase was called from that very stain. ")
            + "These figures say how much a stain gives away, and nothing about label-free images."
        )
        yield Problem("real-stained", f"{LEAK}real images with their stain", about, source.manifest, False)
    world = simulated(
        order.into / "simulated-stained", order, "the same cells with their stains",
        kind="crops", look="all", classes=4, cells=order.budget.cells, groups=CLONES,
    )  # fmt: skip
    about = "Simulated cells with the stain of each fate beside the brightfield: the stain is the answer."
    yield Problem("simulated-stained", f"{LEAK}simulated cells with their stains", about, world, True)


def _markers(order: Order) -> tuple[str, ...]:
    """The channels of the published data in the user's folder, the label-free one first; without it none is taken."""
    there = tuple(name for name in MARKERS if order.data is not None and (order.data / name).is_dir())
    return there if there[:1] == MARKERS[:1] else ()


def _cheapest(budget: Budget) -> Arm:
    """One network is enough to show a leak: MobileNet, where it is among the arms."""
    return next((arm for arm in budget.arms if arm.changes["network"] == "mobilenetv1"), budget.arms[-1])


def _looked_into(budget: Budget) -> str:
    """The network whose features and classes are shown: our small one where it learns, else the cheapest."""
    small = [arm.name for arm in budget.arms if arm.changes.get("network") == "tiny" and not arm.trials]
    return small[0] if small else _cheapest(budget).name


def _four(manifest: Manifest) -> dict[str, Figure]:
    """The published multiclass figures that these classes stand beside."""
    return {"accuracy": FOUR} | {f"auc.{name}": AREAS_UNDER[name] for name in manifest.classes if name in AREAS_UNDER}


def _pair(classes: Sequence[str]) -> tuple[str, ...]:
    """The two classes of the binary question: the published media, those of the relative, else the first two."""
    known = (("astrocyte", "oligodendrocyte"), ("G1", "G2"))
    return next((pair for pair in known if set(pair) <= set(classes)), tuple(classes[:2]))


def protocol(plan: Mapping[str, Any], budget: Budget) -> tuple[Fact, ...]:
    """Every value of the protocol, published or ours; `plan` gives the values that the training used."""
    sample = f"at most {budget.rows} rows at random" if budget.rows else "all rows"
    sizes = ", ".join(f"{arm.name} {arm.changes.get('tile', 'as planned')}" for arm in budget.arms)
    return (
        Fact("cells", "embryonic rat neural stem cells, 800,000 single-cell images in nine media", "see each section"),
        Fact("media kept", "astrocyte, oligodendrocyte, RA/SHH, NT-3", "see each section"),
        Fact("sample", "random 15 % = 90,000", f"{sample}; {budget.cells} simulated cells"),
        Fact("input", "greyscale", "greyscale"),
        Fact("channel", "brightfield, GFAP, Olig2, NeuN at hand; which were the input is not stated",
             "brightfield only: the stains give the answer away, as the sections named a leak show"),
        Fact("crop", "45x60, 60x60 or 75x75, resized; which network gets which is not stated",
             f"resized as published: {sizes}"),
        Fact("split", "random 80/20", "random 80/20"),
        Fact("split beside it", "", by_group(budget)),
        Fact("batch where rows are few", "", f"{SMALL} below {FEW:,} rows"),
        Fact("validation", "none mentioned", "a tenth of the training rows, whole groups under the group split"),
        Fact("networks", "MobileNet (v1), VGG19, InceptionV3, ResNet18, ResNet50",
             ", ".join(arm.name for arm in budget.arms)),
        Fact("initial weights", "transfer learning; of what is not stated", str(plan.get("weights") or "from scratch")),
        Fact("head", "average pooling, dropout, dense; sizes not stated", "average pooling, dropout, one linear layer"),
        Fact("search of settings", "Bayesian tuning, planned", _searched(budget)),
        Fact("test accuracy as main figure", "yes", "yes"),
        *chosen(plan, budget),
        Fact("binary question on real images", "astrocyte v. oligodendrocyte medium", "the two classes named there"),
    )  # fmt: skip


def _searched(budget: Budget) -> str:
    """Whose settings are searched, and how long."""
    arms = [f"{arm.name.partition(',')[0]}: {arm.trials} trials by TPE" for arm in budget.arms if arm.trials]
    return "; ".join(arms) + ", on the learning rows of each fold" if arms else "none at this budget"


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
    method="single-cell imaging-flow-cytometry crops; MobileNet, VGG19, InceptionV3, ResNet18, ResNet50; 80/20",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
