"""A bundle made ready for int8: training images to fit it to, and what it costs on rows that were not fitted to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from potency.bundle import Bundle, NetworkMember
from potency.bundle.learned import described
from potency.data.manifest import Manifest
from potency.errors import BundleError, ManifestError
from potency.evaluation.evaluate import evaluate
from potency.evaluation.results import Report
from potency.inference.predict import predict
from potency.learning.train import examples, set_aside

PLAIN, WHOLE = "prediction", "prediction@int8"
FITTED = 300  # images that the ranges are taken from; more change little (NNCF takes as many)
SHARE = 0.3  # of the groups, to compare on, where the rows are not divided yet


def quantise(
    bundle: Bundle,
    manifest: Manifest,
    *,
    into: str | Path,
    images: int = FITTED,
    draws: int = 1000,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[Bundle, Report]:
    """Add to a bundle the images that int8 is fitted to, and to its card what int8 changes; write it to `into`.

    Rows whose `split` is train are fitted to, validation and test rows are compared on; without that column a part of
    whole groups is set aside. The bundle still answers in float32 or bfloat16 unless int8 is asked for.

    Args:
        bundle: with at least one network; forests have nothing to quantise.
        manifest: rows with truth.
        images: how many training images it is fitted to.
        draws: of the bootstrap over groups.

    Returns:
        The bundle, and a report of float32 (`prediction`) with int8 (`prediction@int8`) beside it, paired.

    Raises:
        MissingExtra: NNCF is not installed. BundleError: no network in it. ManifestError: no rows to fit to or compare.
    """
    if not any(isinstance(member, NetworkMember) for member in bundle.members):
        raise BundleError("there is no network in this bundle to quantise", str(bundle.folder or ""),
                          "int8 is for networks; this one is as fast as it gets")  # fmt: skip
    rows = manifest if "split" in manifest.table else set_aside(manifest, SHARE, bundle.card.plan.seed)
    fitted, compared = rows.of("train"), rows.of("validation", "test")
    for part, name in ((fitted, "to fit to (split: train)"), (compared, "to compare on (split: validation or test)")):
        if not len(part):
            raise ManifestError(f"there are no rows {name}", str(manifest.folder), "mark some in the column split")
    made = replace(bundle, calibration=examples(fitted, bundle.card.plan, images), folder=None)
    told = predict(compared, made, into=None, precision="float32", name=PLAIN, progress=progress)
    told = predict(told, made, into=None, precision="int8", name=WHOLE, progress=progress)
    report = evaluate(told, predictions=(PLAIN, WHOLE), draws=draws, facts={"title": "int8 beside float32"})
    same = evaluate(told, truth=PLAIN, predictions=(WHOLE,), draws=draws)
    facts: dict[str, Any] = {
        "fitted_to": len(made.calibration),
        "compared_on": len(compared),
        "learned_from_these": bundle.card.data.get("fingerprint") in (described(manifest)["fingerprint"], ""),
        "engine": told.origin[f"{WHOLE}.engine"],
        "agreement": asdict(same.numbers[WHOLE][same.headline]),
        "float32": {name: asdict(value) for name, value in report.numbers[PLAIN].items() if "." not in name},
        "int8": {name: asdict(value) for name, value in report.numbers[WHOLE].items() if "." not in name},
    }
    made = made.but(validation={**bundle.card.validation, "int8": facts})
    return made.save(Path(into)), report
