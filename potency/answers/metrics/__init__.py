"""Figures of answers in pixels and objects, a file a theme: what one sample contributes, and what any weighting says.

Each theme has functions that give the arrays of one sample (first axis the samples, so 1) and a function `figures` of
stacked arrays and weights (draws, samples). Images in which there is nothing to be right or wrong about (no object in
truth nor prediction) count for no mean over images.
"""

from __future__ import annotations
