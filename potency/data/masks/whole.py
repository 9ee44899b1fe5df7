"""Turns any array that may hold labels (floats, colours, wide integers) into uint32, or says why it cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.masks.annotation import Labels
from potency.errors import AnswerError

LARGEST = 2**32 - 1
PICTURE = 0.05  # of the pixels: a mask has far fewer colours than that, a photograph about as many
FEW = 4096  # colours that no one has to justify


def whole_labels(array: NDArray[Any], where: str = "") -> tuple[Labels, dict[str, int]]:
    """Give labels (Y, X) or (Z, Y, X) of an array of such a shape, or of colours (3, Y, X); and what was decided.

    Raises:
        AnswerError: negative or fractional ids, ids beyond 32 bits, a photograph.

    >>> whole_labels(np.array([[0.0, 2.0]]))[0]
    array([[0, 2]], dtype=uint32)
    """
    if array.dtype.kind == "f":
        array = _of_floats(array, where)
    if array.dtype.kind == "i" and (array < 0).any():
        negative = array[array < 0]
        raise AnswerError(f"{negative.size} pixels have negative ids, the lowest is {negative.min()}", where,
                          "0 is background and ids are positive: set other marks (such as -1 for unsure) to 0")
    if array.dtype.itemsize > 4 and array.size and array.max() > LARGEST:
        raise AnswerError(f"the id {array.max()} does not fit into 32 bits", where, "number the objects from 1 up")
    return array.astype(np.uint32, copy=False), {}


def _of_floats(array: NDArray[Any], where: str) -> NDArray[Any]:
    """Give floats that are whole numbers as integers."""
    wrong = ~(np.isfinite(array) & (array == np.floor(array)))
    if wrong.any():
        at = ", ".join(str(int(i)) for i in np.unravel_index(int(wrong.argmax()), array.shape))
        raise AnswerError(f"{int(wrong.sum())} pixels are no whole numbers, the first is {array[wrong][0]:g} at ({at})",
                          where, "give one id an object; a map of probabilities has to be turned into objects first")
    largest = float(np.abs(array).max(initial=0))  # a float16 cannot be compared with numbers beyond it
    if largest > LARGEST:
        raise AnswerError(f"the id {largest:g} does not fit into 32 bits", where,
                          "number the objects from 1 up")
    return array.astype(np.int64)


def colour_labels(array: NDArray[Any], where: str = "") -> tuple[Labels, dict[str, int]]:
    """Number the colours of (3, Y, X): black is background, every other colour an object; equal channels are ids.

    >>> whole, said = colour_labels(np.array([[[0, 9, 7]], [[0, 0, 7]], [[0, 0, 8]]], "uint8"))
    >>> whole.tolist(), said
    ([[0, 2, 1]], {'objects told apart by their colour': 2})
    """
    if array.dtype.kind == "f":
        array = _of_floats(array, where)
    if (array[0] == array[1]).all() and (array[0] == array[2]).all():
        return whole_labels(array[0], where)
    if array.dtype.kind not in "ui" or array.dtype.itemsize > 2:
        raise AnswerError(f"three channels of {array.dtype} are no colours", where, "save labels in one channel")
    packed = (array[0].astype(np.uint64) << np.uint64(32)) | (array[1].astype(np.uint64) << np.uint64(16)) | array[2]
    colours, index = np.unique(packed, return_inverse=True)
    if len(colours) > max(FEW, PICTURE * packed.size):
        raise AnswerError(f"the {packed.size} pixels have {len(colours)} colours: a picture, not labels", where,
                          "name the file with the labels; of colours each object needs one, and the background black")
    black = int(colours[0] == 0)
    labels = (index.reshape(packed.shape) + 1 - black).astype(np.uint32)
    return labels, {"objects told apart by their colour": len(colours) - black}
