"""int8: a compiled network whose layers calculate in whole numbers, fitted to images of the kind it will meet."""

from __future__ import annotations

import logging
import os
import warnings
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import BundleError, MissingExtra

AT_ONCE = 8  # images in one calibration step: memory, not accuracy


def quantised(model: Any, images: NDArray[np.float32] | None) -> Any:
    """The OpenVINO model with 8-bit weights and activations (NNCF, post-training, mixed preset).

    Args:
        model: as the front end of OpenVINO gives it.
        images: (N, C, H, W) crops of training rows; the ranges of all activations are taken from them.

    Raises:
        BundleError: no images to calibrate on. MissingExtra: NNCF is not installed.
    """
    if images is None or not len(images):
        raise BundleError(
            "this bundle holds no images to calibrate int8 on",
            "precision int8",
            "potency quantise BUNDLE TABLE --into FOLDER, and use that bundle",
        )
    # Asked for before the first import: NNCF reports each use to its makers otherwise.
    os.environ.setdefault("NNCF_CI", "1")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import nncf
    except ImportError as error:
        raise MissingExtra("nncf", "int8") from error
    nncf.set_log_level(logging.ERROR)
    batches = [np.ascontiguousarray(images[i : i + AT_ONCE]) for i in range(0, len(images), AT_ONCE)]
    # Its progress bars would stand in the middle of what a script reads.
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        return nncf.quantize(model, nncf.Dataset(batches), preset=nncf.QuantizationPreset.MIXED,
                             subset_size=len(batches))  # fmt: skip
