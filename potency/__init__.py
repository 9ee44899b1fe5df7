"""Deep learning on stem-cell microscopy: five verbs, one honest protocol."""

from __future__ import annotations

__version__ = "0.1.0"
