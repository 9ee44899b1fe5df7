"""Which of the images that a file speaks of is meant: told by the end of its path, never by a guess between two."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

from potency.errors import AnswerError


class Names:
    """The images that a file speaks of, each found by the end of its path.

    >>> names = Names(["a/1.tif", "b/1.tif"])
    >>> names.meant("plates/b/1.png", "")
    1
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.all = list(names)
        self.places = dict[str, list[int]]()  # by the name of the file, and by that without its suffix
        for at, name in enumerate(self.all):
            for last in _ends(name):
                self.places.setdefault(last, []).append(at)

    def meant(self, name: str, where: str) -> int | None:
        """Give the place of what a name means: that with the longest end of its path; None: none is.

        A table may stand in any folder, and images are converted: the name of the file must be the same but for its
        suffix, and the more of the folders above it are, the better.

        Raises:
            AnswerError: several files are meant equally well.
        """
        wanted = _parts(name)
        alike = sorted({at for last in _ends(name) for at in self.places.get(last, [])})
        fits = {at: _fit(_parts(self.all[at]), wanted) for at in alike}
        most = max(fits.values(), default=None)
        best = [at for at, fit in fits.items() if fit == most]
        if len(best) > 1:
            raise AnswerError(f"the file speaks of {len(best)} images that may be {wanted[0]}: "
                              + ", ".join(self.all[at] for at in best)[:200], where,
                              "name the image with the folders above it, as the file does, and each image once")
        return best[0] if best else None


def _parts(path: str) -> list[str]:
    """The name of a file and the folders above it, from within."""
    return [part for part in reversed(path.replace("\\", "/").split("/")) if part not in ("", ".")]


def _ends(path: str) -> set[str]:
    """The name of a file, and that without its suffix; nothing where there is none."""
    last = next(iter(_parts(path)), "")
    return {last, last.rpartition(".")[0] or last} - {""}


def _fit(parts: list[str], wanted: list[str]) -> tuple[int, bool, bool]:
    """How well a path, of a file of that name, is the one that is wanted: folders and suffix that are the same, all."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(parts[1:], wanted[1:], strict=False)))
    return same, parts[0] == wanted[0], same + 1 == len(parts)
