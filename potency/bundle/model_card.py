"""The model card: what a bundle is for, from what it learned, how good it is for whom, and when not to believe it.

Its headings are those of Mitchell et al. 2019 (doi 10.1145/3287560.3287596). It is made from the card alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from potency.answers import ANSWERS
from potency.answers.answer import OOD, number
from potency.bundle.card import Card
from potency.evaluation.results import Interval
from potency.evaluation.tables import Table
from potency.evaluation.trust import SIMULATED
from potency.evaluation.wording import clean, count, known, spoken
from potency.tasks import TASKS

FILE = "MODEL_CARD.md"
STATED = "not stated"
METRICS = ("balanced_accuracy", "accuracy", "macro_f1", "auc", "average_precision", "kappa", "log_loss", "brier", "ece",
           "mae", "rmse", "r2", "pearson", "spearman", "concordance", "bias")  # fmt: skip
SETS = ("coverage", "set_size", "abstained", "accuracy_kept")
WORST = 0.1  # share of a group's images called unlike from which that is said
Told = Mapping[str, Any]


def model_card(card: Card) -> str:
    """The card as Markdown."""
    data, seen = card.data, card.validation
    title = clean(data.get("title") or f"{TASKS[card.task].name.capitalize()} model", 160)
    sections = (
        ("Model details", _details(card)),
        ("Intended use", _use(card)),
        ("Factors", _factors(seen)),
        ("Metrics", _metrics(seen)),
        ("Evaluation data", _evaluation(seen)),
        ("Training data", _training(card)),
        ("Quantitative analyses", _figures(card)),
        ("Ethical considerations", _ethics()),
        ("Caveats and recommendations", _caveats(card)),
        ("Notes", iter([str(data["notes"]).strip().replace("<", "\\<")] if data.get("notes") else [])),
    )
    parts = [f"# Model card: {title}"]
    banner = [str(line) for line in seen.get("banner", ())]
    if data.get("simulated") and not any("simulated" in line.casefold() for line in banner):
        banner.insert(0, SIMULATED)
    parts += [f"> **{_safe(line)}**" for line in banner]
    for heading, lines in sections:
        told = [line for line in lines if line]
        parts += [f"## {heading}", *told] if told else []
    return "\n\n".join(parts) + "\n"


def _safe(text: object, longest: int = 0) -> str:
    """Text of a user as text of a page: a class may be called <script>."""
    return clean(text, longest).replace("<", "\\<")


def _list(pairs: Sequence[tuple[str, object]]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in pairs if value not in ("", None))


def _interval(cell: Any) -> Interval | None:
    if not isinstance(cell, Mapping) or not isinstance(cell.get("value"), int | float):
        return None
    return Interval(float(cell["value"]), cell.get("low"), cell.get("high"))


def _details(card: Card) -> Iterator[str]:
    plans = card.plans
    kind = ANSWERS[TASKS[card.task].answer.kind]
    nets = [f"{p.learner} {p.network}" if p.learner != "gradient" else p.network for p in plans]
    joined = f" ({count(len(nets), 'member')}, averaged)" if len(nets) > 1 else ""
    started = {str(p.weights) for p in plans if p.weights}
    yield _list([
        ("What it gives", kind.title),
        ("Model", ", ".join(dict.fromkeys(nets)) + joined),
        ("Sees", f"{' x '.join(map(str, plans[0].window))} px of channels {_safe(', '.join(plans[0].channels))}, "
                 + (f"{plans[0].pixel_size:g} um a pixel" if plans[0].pixel_size else "pixel size not known")
                 + (f"; images of objects under {plans[0].closer:g} px at twice the size" if plans[0].closer else "")),
        ("Weights it started from", _safe(", ".join(sorted(started))) or "none, drawn from the seed"),
        ("Written by", f"potency {card.version}"),
        ("Licence of the weights", _safe(card.data.get("weights_licence") or STATED)),
        ("Files", "numbers (safetensors, skops) and text; nothing in the folder is executed"),
    ])  # fmt: skip


def _use(card: Card) -> Iterator[str]:
    task, plan = TASKS[card.task], card.plan
    asked = f"To tell {_safe(', '.join(plan.classes))} apart in" if plan.classes else "For"
    yield (f"{asked} images like those it learned from: the same kind of cells, the same contrast and "
           f"magnification. Task: {task.title}.")  # fmt: skip
    yield _safe(card.data.get("about", ""))
    yield _list([
        ("Not for", "diagnosis, treatment, or release of cells: it is a research tool, and no figure below was "
                    "measured for such a use"),
        ("Not for", "images of another microscope, contrast, magnification, cell type or laboratory, before it was "
                    "tested on them (potency predict, then potency evaluate)"),
        ("Not for", f"anything but {_safe(', '.join(plan.classes))}: it answers with one of these whatever it is shown"
         if plan.classes else ""),
    ])  # fmt: skip


def _factors(seen: Told) -> Iterator[str]:
    columns = [_safe(found["column"]) for found in seen.get("subgroups", ())]
    groups = "What was sampled is the group (clone, donor, plate, well or movie, as the table says), never the image."
    yield groups + (f" Looked at apart: {', '.join(columns)}." if columns else
                    " No column of lines, donors, sexes or batches was there to be looked at apart.")  # fmt: skip
    audit = seen.get("audit") or {}
    yield f"**Could it have learned a shortcut?** {_safe(audit['verdict'])}" if audit.get("verdict") else ""


def _metrics(seen: Told) -> Iterator[str]:
    metric = str(seen.get("headline_metric", ""))
    if metric:
        name, meaning, _ = known(metric)
        yield f"Headline: {name.lower()}, {meaning}."
    if seen.get("draws"):
        yield (f"In brackets: 95 % intervals from {seen['draws']:,} draws of whole groups; none is given where fewer "
               "than five groups stand behind a figure.")  # fmt: skip


def _evaluation(seen: Told) -> Iterator[str]:
    if not seen.get("rows"):
        yield "What this bundle was judged on is not recorded in it."
        return
    kind = str(seen.get("split", "unknown"))
    folds = f", {count(int(seen['folds']), 'fold')}" if seen.get("folds") else ""
    held = ("every figure is of models that had seen neither the image nor any image of its group" if kind != "random"
            else "images of one group stood on both sides, so the figures flatter")  # fmt: skip
    yield f"{seen['rows']:,} images of {count(int(seen['groups']), 'group')}, {kind} split{folds}: {held}."
    yield _safe(seen.get("split_words", ""))


def _training(card: Card) -> Iterator[str]:
    data, seen = card.data, card.validation
    yield _list([
        ("Images", f"{data['rows']:,}" if isinstance(data.get("rows"), int) else ""),
        ("Groups", f"{data['groups']:,} ({_safe(data.get('group_source') or 'unknown')})"
         if isinstance(data.get("groups"), int) else ""),
        ("Licence of the data", _safe(data.get("licence") or STATED)),
        ("Fingerprint", f"`{data['fingerprint']}`" if data.get("fingerprint") else ""),
    ])  # fmt: skip
    classes, spread = seen.get("classes"), seen.get("range")
    if classes:
        rows = [(_safe(name, 60), f"{c['images']:,}", f"{c['groups']:,}") for name, c in classes.items()]
        yield Table(("class", "images", "groups"), tuple(rows)).markdown()
    if spread:
        yield f"Truths from {spread['low']:.4g} to {spread['high']:.4g}, median {spread['median']:.4g}."


def _figures(card: Card) -> Iterator[str]:
    if card.validation.get("metrics"):
        yield from _measured(card.validation)
    else:
        yield "No figure was measured when this bundle was made."
    yield from _calibration(card)
    yield from _unlike(card)


def _measured(seen: Told) -> Iterator[str]:
    metrics, metric = seen["metrics"], str(seen.get("headline_metric", ""))
    yield _safe(seen.get("verdict", ""))
    whole = [(known(m)[0], spoken(_interval(metrics[m]), m)) for m in METRICS if _interval(metrics.get(m))]
    yield "**Overall**\n\n" + Table(("metric", "value"), tuple(whole)).markdown()
    others = [(f"{known(metric)[0]}, {_safe(name)}", spoken(_interval(cell), metric))
              for name, cell in (seen.get("baselines") or {}).items()]  # fmt: skip
    if others:
        yield "**Beside it, on the same images**\n\n" + Table(("baseline", "value"), tuple(others)).markdown()
    kinds = [k for k in ("recall", "precision", "f1") if any(m.startswith(f"{k}.") for m in metrics)]
    if kinds:
        rows = [(_safe(label, 60), *(spoken(_interval(metrics.get(f"{k}.{label}")), k) for k in kinds))
                for label in seen.get("labels") or [m.partition(".")[2] for m in metrics if m.startswith("recall.")]]
        yield "**By class**\n\n" + Table(("class", *kinds), tuple(rows)).markdown()
    for found in seen.get("subgroups", ()):
        yield _subgroup(found)


def _subgroup(found: Told) -> str:
    metric = str(found["metric"])
    rows = [(_safe(p["value"], 60), f"{p['rows']:,}", f"{p['groups']:,}", spoken(_interval(p["figure"]), metric))
            for p in found["parts"]]  # fmt: skip
    gap = spoken(_interval(found["gap"]), metric, signed=True)
    table = Table((_safe(found["column"], 40), "images", "groups", known(metric)[0]), tuple(rows)).markdown()
    told = f"Largest gap {gap}: {_safe(found['best'])} above {_safe(found['worst'])}."
    told = told if found["best"] != found["worst"] else "No gap."
    return f"**By {_safe(found['column'])}**\n\n{table}\n\n{told}"


def _calibration(card: Card) -> Iterator[str]:
    seen, trust = card.validation, card.trust
    way = ("monotone steps (isotonic)" if "isotonic.0.from" in trust
           else f"temperature {number(trust, 'temperature', 1.0):.3g}" if "temperature" in trust else "")  # fmt: skip
    told = seen.get("calibration") or {}
    metrics = seen.get("metrics") or {}
    if way:
        errors = (f" Calibration error {told['before']:.3f} before, {told['after']:.3f} after, each fold calibrated on "
                  "the others." if {"before", "after"} <= set(told) else "")  # fmt: skip
        yield f"**Calibration.** Probabilities are mended by {way}.{errors}"
    rows = [(known(m)[0], spoken(_interval(metrics[m]), m)) for m in SETS if _interval(metrics.get(m))]
    if rows:
        yield "**Sets of plausible classes** (`prediction.set`)"
        yield Table(("figure", "value"), tuple(rows)).markdown()


def _unlike(card: Card) -> Iterator[str]:
    if OOD not in card.trust:
        yield ("**Images unlike what it learned.** It does not notice them: it has no embedding, or too few images "
               "were held out. It answers whatever it is shown.")  # fmt: skip
        return
    limit = number(card.trust, f"{OOD}.limit", 2.0)
    told = ("**Images unlike what it learned.** `prediction.ood` is how rare an image is among known ones by the "
            "distance of its embedding from the classes (2: one in 100, 3: one in 1,000); beyond "
            f"{limit:.2f} it abstains with `ood`.")  # fmt: skip
    seen = card.validation.get("ood") or {}
    if "flagged" in seen:
        between = f" [{100 * seen['low']:.1f}, {100 * seen['high']:.1f}]" if "low" in seen else ""
        told += f" Of known images of groups not learned from it calls {100 * seen['flagged']:.1f} %{between} unlike"
        worst = seen.get("worst", 0.0)
        told += f", of group {_safe(seen['worst_group'])} {100 * worst:.0f} %." if worst >= WORST else "."
    yield told


def _ethics() -> Iterator[str]:
    yield ("Cells come from donors. Whether they consented to this use, and whether donors of each sex, age and "
           "ancestry are represented, is not visible in images: state it in the notes. A model that is good on average "
           "may fail one donor or line: read the tables above by group before acting on an answer.")  # fmt: skip


def _caveats(card: Card) -> Iterator[str]:
    seen = card.validation
    yield "\n".join(f"- {_safe(note)}" for note in seen.get("notes", ()))
    failures = seen.get("failures") or []
    if failures:
        rows = [(_safe(f["id"], 80), _safe(f["group"], 40), _cell(f["truth"]), _cell(f["said"]),
                 f"{100 * f['probability']:.0f} %" if "probability" in f else "–") for f in failures]  # fmt: skip
        head = ("image", "group", "truth", "said", "how sure")
        yield ("**Known failures**: the worst that were seen. Their pictures stand in the report, under "
               "[Images](../report/report.html#images).")  # fmt: skip
        yield Table(head, tuple(rows)).markdown()
    told = seen.get("explanation") or {}
    yield (f"**What it looks at.** {_safe(told['summary'])}" if told.get("summary") else
           "**What it looks at** was not asked when it was made: `potency explain BUNDLE IMAGES --into out/why` draws "
           "maps, each with the test of whether it can be believed.")  # fmt: skip
    yield f"**What to do next.** {_safe(seen['advice'])}" if seen.get("advice") else ""
    versions = seen.get("versions") or {}
    if versions:
        yield "**Made with** " + ", ".join(f"{_safe(k)} {_safe(v)}" for k, v in versions.items() if v) + "."
    yield f"```\n{seen['command']}\n```" if seen.get("command") else ""


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else _safe(value, 40)
