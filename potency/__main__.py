"""The door of the command line: quiets idle OpenMP threads before anything could import torch, then hands over."""

from __future__ import annotations

import gc
import os
import sys

# Spinning OpenMP threads made torch 25 times slower on a busy machine; libgomp reads this once, when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# A million objects are imported and stay: looking through them every 700 for garbage took a tenth of the start.
gc.set_threshold(50_000, 50, 50)


def main() -> None:
    """Run the command line and leave with its exit code."""
    from potency.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
