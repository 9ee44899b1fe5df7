"""Some of the images that a model learned from, small, each with its embedding: what new images are laid beside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from potency.errors import BundleError

FILE = "gallery.safetensors"
LARGEST = 2 * 2**20  # bytes of a gallery: a few hundred thumbnails
NAMES = ("pictures", "vectors", "labels", "groups")
BROKEN = "the training images kept in the bundle are damaged, or do not fit together"


@dataclass(frozen=True, eq=False)
class Gallery:
    """Training images of a bundle, for people to look at; no answer depends on them.

    Attributes:
        pictures: (N, S, S), or (N, S, S, 3) in colour, uint8.
        vectors: (N, F), the directions of their embeddings as the bundle's networks give them.
        labels, groups: the truth and the group of each, as words.
    """

    pictures: NDArray[np.uint8]
    vectors: NDArray[np.float16]
    labels: tuple[str, ...]
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pictures)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """It as named arrays; words are JSON in bytes."""
        return {"pictures": np.ascontiguousarray(self.pictures), "vectors": np.ascontiguousarray(self.vectors),
                "labels": _bytes(self.labels), "groups": _bytes(self.groups)}  # fmt: skip

    def dumps(self) -> bytes:
        """The file that `read` reads."""
        from safetensors.numpy import save

        return bytes(save(self.arrays()))

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The gallery of a bundle's folder; None where it keeps none. Needs no torch.

        Raises:
            BundleError: damaged, or larger than any gallery is.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        path = Path(folder) / FILE
        if not path.is_file():
            return None
        try:
            if path.stat().st_size > 2 * LARGEST:
                raise BundleError(f"the training images take more than {2 * LARGEST // 2**20} MB", str(path),
                                  f"this is no gallery of ours: delete {FILE}")  # fmt: skip
            return cls.of_arrays(load(path.read_bytes()), str(path))
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            raise BundleError(f"{BROKEN}: {error}", str(path), "copy the bundle again") from error

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], where: str) -> Self:
        """Read what `arrays` gave.

        Raises:
            BundleError: arrays that are missing, do not fit together or hold what is no finite number.
        """
        if all(name in arrays for name in NAMES):
            pictures, vectors = arrays["pictures"], arrays["vectors"]
            labels, groups = _words(arrays["labels"]), _words(arrays["groups"])
            fits = pictures.dtype == np.uint8 and pictures.ndim in (3, 4) and pictures.shape[3:] in ((), (3,))
            fits = fits and min(pictures.shape) > 0 and max(pictures.shape[1:3]) <= 512
            fits = fits and vectors.ndim == 2 and bool(np.issubdtype(vectors.dtype, np.floating))
            fits = fits and len(pictures) == len(vectors) == len(labels) == len(groups)
            if fits and bool(np.isfinite(vectors).all()):
                return cls(pictures, vectors.astype(np.float16), labels, groups)
        raise BundleError(BROKEN, where, "copy the bundle again")


def _bytes(words: Sequence[str]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(list(words), ensure_ascii=False).encode(), np.uint8)


def _words(told: NDArray[Any]) -> tuple[str, ...]:
    """Words of an array of bytes; () where it holds anything else."""
    try:
        found = json.loads(np.asarray(told, np.uint8).tobytes().decode())
    except (ValueError, RecursionError):
        return ()
    return tuple(map(str, found)) if isinstance(found, list) else ()
