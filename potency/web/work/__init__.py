"""The visible list of long work: each kind is one file here and one line below."""

from __future__ import annotations

from collections.abc import Mapping

from potency.web.work import (
    answer,
    bring,
    cells,
    check,
    figures,
    finetune,
    maps,
    plate,
    propose,
    reading,
    study,
    train,
    verbs,
)
from potency.web.work.kind import Kind, Order

__all__ = ["KINDS", "Kind", "Order"]

_LIST = (
    answer.KIND, maps.KIND, cells.KIND, plate.KIND, check.KIND, train.KIND, propose.KIND, finetune.KIND, study.KIND,
    figures.KIND, reading.KIND, bring.KIND, *verbs.KINDS,
)  # fmt: skip
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _LIST}
