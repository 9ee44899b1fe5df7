"""Which images a model has learned from: what its card keeps of them, and how one of them is known again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from potency.data.columns import simulated
from potency.data.manifest import Manifest

DIGITS = 12  # of the digest of an image in a card: two of a million images agree by chance once in 500 cards
MOST = 200_000  # images that a card names; of more it names none


def described(rows: Manifest, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a card says of the rows a model learned from; `before` is the same of the model that it went on from."""
    digests = sorted({*shortened(rows.digests), *learned_from(before or {})})
    return {"fingerprint": rows.fingerprint(), "rows": len(rows), "groups": int(rows.table["group"].nunique()),
            "group_source": rows.origin.get("group", ""), "simulated": simulated(rows.table),
            **({"learned": " ".join(digests)} if len(digests) <= MOST else {})}  # fmt: skip


def shortened(digests: Iterable[str]) -> list[str]:
    """Digests as a card names them, each once.

    >>> shortened(["0123456789abcdef", "0123456789ab9999"])
    ['0123456789ab']
    """
    return sorted({digest[:DIGITS] for digest in digests})


def learned_from(data: Mapping[str, Any]) -> frozenset[str]:
    """The images that a model has learned from, by the `data` of its card; none where the card does not say.

    With labels, without, by corrections, or in a member of an ensemble. A file is known by its contents: the same
    pixels in another file are not.

    >>> sorted(learned_from({"learned": "aa bb", "members": [{"seen": "cc"}]}))
    ['aa', 'bb', 'cc']
    """
    found = {*str(data.get("learned", "")).split(), *str(data.get("seen", "")).split()}
    corrections, members = data.get("corrections"), data.get("members")
    if isinstance(corrections, Mapping):
        found |= set(shortened(map(str, corrections.get("learned") or ())))
    for member in members if isinstance(members, list) else ():
        found |= learned_from(member if isinstance(member, Mapping) else {})
    return frozenset(found)
