"""Everything that the description of the web tool allows, and some that it does not: never a mistake of the program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation import GenerationMode
from visitors import HERE, logged_in, png, sent, tool, visitor

SENT = ("method", "url", "params", "headers", "json", "data", "files")
NO_NEED = list(HealthCheck)


@pytest.mark.parametrize("accounts", [False, True])
def test_no_request_meets_a_mistake_of_the_program(accounts: bool, tmp_path: Path) -> None:
    app = tool(tmp_path / "web", accounts=accounts)
    client = logged_in(app, "ada") if accounts else visitor(app)
    sent(client, ("a.png", png()))
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    found, count = {}, 0

    def asked(case: Any) -> None:
        nonlocal count
        count += 1
        words = {name: value for name, value in case.as_transport_kwargs(base_url=HERE).items() if name in SENT}
        for field in words.get("files") or ():  # numbers in the place of files cannot even be sent
            if not isinstance(field[1][1], bytes | str):
                return
        answer = client.request(**words)
        if answer.status_code >= 500 and answer.status_code not in (501, 507):
            found[f"{words['method']} {case.path}"] = (answer.status_code, str(words)[:500])

    for each in schema.get_all_operations():
        operation = each.ok()
        odd = bool(operation.body or operation.query) and "{" not in operation.path
        for mode, most in ((GenerationMode.POSITIVE, 6), *([(GenerationMode.NEGATIVE, 4)] if odd else [])):
            settled = settings(max_examples=most, deadline=None, database=None, derandomize=True,
                               suppress_health_check=NO_NEED, phases=[Phase.generate])  # fmt: skip
            settled(given(case=operation.as_strategy(generation_mode=mode))(asked))()
    assert not found, "\n".join(f"{name}: {told}" for name, told in found.items())
    assert count > 100
