"""One folder, one run: another run's folder is refused, and the same run goes on only when asked to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from potency.data.folders import RUN
from potency.data.whole import replaced
from potency.errors import PlanError


def marked(into: Path, identity: Mapping[str, Any], resume: bool) -> None:
    """Leave in a folder what makes a run this run, or compare with what an earlier one left.

    Raises:
        PlanError: the folder holds another run, or this very one and `resume` is not asked for.
    """
    mark, own = into / RUN, json.loads(json.dumps(identity))
    if not mark.is_file():
        replaced(mark, json.dumps(own, indent=1))
        return
    try:
        there = json.loads(mark.read_text(encoding="utf-8"))
    except ValueError as error:
        what = f"the note of what this folder holds is damaged: {error}"
        raise PlanError(what, str(mark), "choose another --into") from None
    # `predict` and `explain` tell beside it what their columns were made with.
    if not isinstance(there, dict) or {name: there.get(name) for name in own} != own:
        raise PlanError(
            "the folder holds a run with other images, plan or choices", str(into), "choose another --into"
        )
    if not resume:
        raise PlanError("the folder holds this very run already", str(into), "add --resume, or choose another --into")
