"""Processes that tests interrupt."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence


def started(words: Sequence[str]) -> subprocess.Popen[str]:
    """A process that hears Ctrl-C, even where the tests themselves run in the background, which is deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
