"""Decoding: maps of a network to instances and back, one file a way, all in one list; no torch."""

from __future__ import annotations

from collections.abc import Mapping

from potency.decoding.boundary import Boundary
from potency.decoding.components import Components
from potency.decoding.decoder import KINDS, Channel, Decoded, Decoder
from potency.decoding.distance import Distance
from potency.decoding.embedding import Embedding
from potency.decoding.flows import Flows
from potency.decoding.hover import Hover
from potency.decoding.stardist import StarDist

DECODERS: Mapping[str, Decoder] = {
    each.name: each for each in (Distance(), Flows(), Boundary(), Hover(), Embedding(), StarDist(), Components())
}

__all__ = ["DECODERS", "KINDS", "Channel", "Decoded", "Decoder"]
