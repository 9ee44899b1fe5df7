"""Every object of a label image measured: form, brightness, texture, neighbours, and how they lie in the field."""

from __future__ import annotations

from potency.measurement.objects.measure import OBJECT_FAMILIES, measure_objects
from potency.measurement.objects.spatial import nearest_between, ripley

__all__ = ["OBJECT_FAMILIES", "measure_objects", "nearest_between", "ripley"]
