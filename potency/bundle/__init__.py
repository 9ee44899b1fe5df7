"""Trained models as folders: weights, card and examples, nothing executable; torch is imported with the first model."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from potency.bundle.bundle import Bundle
    from potency.bundle.card import Card
    from potency.bundle.estimate import EstimatorMember, Features
    from potency.bundle.member import Forward, Member, NetworkMember

__all__ = ["Bundle", "Card", "EstimatorMember", "Features", "Forward", "Member", "NetworkMember"]

_WHERE = {  # a list of models, read from their cards, must not take the seconds that torch takes
    "Bundle": "bundle", "Card": "card", "EstimatorMember": "estimate", "Features": "estimate", "Forward": "member",
    "Member": "member", "NetworkMember": "member",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'potency.bundle' has no attribute {name!r}")
    return getattr(import_module(f"potency.bundle.{_WHERE[name]}"), name)
