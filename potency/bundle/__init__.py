"""Trained models as folders: weights, card and examples, nothing executable."""

from __future__ import annotations

from potency.bundle.bundle import Bundle
from potency.bundle.card import Card
from potency.bundle.member import EstimatorMember, Forward, Member, NetworkMember

__all__ = ["Bundle", "Card", "EstimatorMember", "Forward", "Member", "NetworkMember"]
