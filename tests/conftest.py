"""What all tests share: a quiet, single-threaded machine set up before torch is imported, and the real images."""

from __future__ import annotations

import os

# Before any import that could bring torch, OpenMP or matplotlib along.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that reaches for the network is a test that fails elsewhere

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402


@pytest.fixture(scope="session")
def real_images() -> Path:
    """The folder of real images that POTENCY_DATA names; where it is absent the test is skipped, with the reason."""
    where = os.environ.get("POTENCY_DATA", "")
    if not where:
        pytest.skip("real images: POTENCY_DATA names no folder")
    if not (Path(where) / "classify").is_dir():
        pytest.skip(f"real images: POTENCY_DATA={where} holds no folder 'classify'")
    return Path(where)
