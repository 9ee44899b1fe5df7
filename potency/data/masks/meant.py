"""Which of the images that a file speaks of is meant: told by the end of its path, never by a guess between two."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from potency.errors import AnswerError


def meant(names: Sequence[str], name: str, where: str) -> int | None:
    """Give the place in a list of the file that a name means: that with the longest end of its path; None: none is.

    A table may stand in any folder, and images are converted: the name of the file must be the same but for its suffix,
    and the more of the folders above it are, the better.

    Raises:
        AnswerError: several files are meant equally well.

    >>> meant(["a/1.tif", "b/1.tif"], "plates/b/1.tif", ""), meant(["2.png", "1.png"], "1.tif", "")
    (1, 1)
    """
    wanted = _parts(name)
    places = {at: fit for at, one in enumerate(names) if (fit := _fit(_parts(one), wanted)) is not None}
    most = max(places.values(), default=None)
    best = [at for at, fit in places.items() if fit == most]
    if len(best) > 1:
        raise AnswerError(f"the file speaks of {len(best)} images that may be {wanted[0]}: "
                          + ", ".join(names[at] for at in best)[:200], where,
                          "name the image with the folders above it, as the file does, and each image once")
    return best[0] if best else None


def _parts(path: str) -> list[str]:
    """The name of a file and the folders above it, from within."""
    return [part for part in reversed(path.replace("\\", "/").split("/")) if part not in ("", ".")]


def _fit(parts: list[str], wanted: list[str]) -> tuple[int, bool, bool] | None:
    """How well a path is the one that is wanted: folders that are the same, the same suffix, all of it; None: not."""
    if not parts or not wanted:
        return None
    whole = parts[0] == wanted[0]
    if not whole and not {parts[0], _stem(parts[0])} & {wanted[0], _stem(wanted[0])}:
        return None
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(parts[1:], wanted[1:], strict=False)))
    return same, whole, same + 1 == len(parts)


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name
