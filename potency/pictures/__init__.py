"""What was found, for the eye: images with their outlines, single objects cut out, and how measured columns spread."""

from potency.pictures.found import Found, find_objects, kept_where, size_column
from potency.pictures.shown import Asked, show
from potency.pictures.spread import Spread, spreads

__all__ = ["Asked", "Found", "Spread", "find_objects", "kept_where", "show", "size_column", "spreads"]
