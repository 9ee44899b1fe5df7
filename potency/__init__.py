"""Deep learning on stem-cell microscopy: a few nouns, five verbs, one honest protocol."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

# Idle OpenMP threads that spin make torch 25 times slower on a busy machine; it counts only if set before torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# OpenVINO reports every import to its makers, from a process that it forks. Nothing may leave the machine unasked:
# without the library that does it, OpenVINO keeps quiet.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

__version__ = "0.1.0"

# The public face: name -> where it lives. Imported when first asked for, since torch alone takes seconds.
_FACE = {
    "AnswerError": "potency.errors",
    "Bundle": "potency.bundle",
    "BundleError": "potency.errors",
    "Client": "potency.web.client",
    "Image": "potency.data.image",
    "ImageError": "potency.errors",
    "Manifest": "potency.data.manifest",
    "ManifestError": "potency.errors",
    "MissingExtra": "potency.errors",
    "Plan": "potency.data.plan",
    "PlanError": "potency.errors",
    "Pool": "potency.inference.pool",
    "PotencyError": "potency.errors",
    "audit": "potency.confounding.audit",
    "controls": "potency.reliance.controls",
    "early": "potency.timing.early",
    "embed": "potency.embedding.embed",
    "ensemble": "potency.learning.ensemble",
    "evaluate": "potency.evaluation.evaluate",
    "explain": "potency.explanation.explain",
    "growth": "potency.measurement.quality.growth",
    "measure": "potency.measurement.measure",
    "open_image": "potency.data.readers",
    "pool": "potency.pooling.pool",
    "predict": "potency.inference.predict",
    "quality": "potency.measurement.quality.quality",
    "reproduce": "potency.systems",
    "search": "potency.learning.search",
    "similar": "potency.embedding.similar",
    "suggest": "potency.labelling.suggest",
    "train": "potency.learning.train",
    "visualise": "potency.explanation.visualise",
}
__all__ = sorted(["__version__", *_FACE])  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module 'potency' has no attribute {name!r}")
    return getattr(import_module(_FACE[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
