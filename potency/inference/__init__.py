"""Prediction: engines that run a network fast, mappers that spread the work, and the verb `predict`."""

from __future__ import annotations
