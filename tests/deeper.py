"""Backbones that have more of the same blocks as another of the list, which may stand for them in a costly test."""

from __future__ import annotations

# The benchmarks take them all: benchmarks/backbones.py compiles each, benchmarks/relevance.py accounts for each.
DEEPER = (
    *("vgg16-bn", "vgg19", "resnet34", "resnet101", "xresnet34", "xresnet50", "efficientnet-b7"),
    *("vit-small", "mobilenetv3-large"),
)
