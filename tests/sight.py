"""Networks whose every pixel of sight leaves a trace: what receptive fields are tested with."""

from __future__ import annotations

from torch import nn


def smooth(body: nn.Module) -> nn.Module:
    """The same wiring with positive weights, averages for maxima and no thresholds: whatever is seen leaves a trace."""
    for path, part in list(body.named_modules()):
        fresh: nn.Module | None = None
        if isinstance(part, nn.MaxPool2d):
            fresh = nn.AvgPool2d(part.kernel_size, part.stride, part.padding, part.ceil_mode)  # type: ignore[arg-type]
        elif isinstance(part, nn.ReLU | nn.ReLU6):
            fresh = nn.Identity()
        if fresh is not None:
            parent, _, leaf = path.rpartition(".")
            setattr(body.get_submodule(parent), leaf, fresh)
        for name, value in part.named_parameters(recurse=False):
            value.data.fill_(1 / max(1, value[0].numel()) if value.ndim > 1 else float(name == "weight"))
    return body.double().eval()
