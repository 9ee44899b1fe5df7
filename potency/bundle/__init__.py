"""Trained models as folders: weights, card and examples, nothing executable."""

from __future__ import annotations

from potency.bundle.bundle import Bundle
from potency.bundle.card import Card
from potency.bundle.estimate import EstimatorMember, Features
from potency.bundle.member import Forward, Member, NetworkMember

__all__ = ["Bundle", "Card", "EstimatorMember", "Features", "Forward", "Member", "NetworkMember"]
