"""Answers without the queue: images and a model in, answers out in the same request, for scripts and instruments."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, cast

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from potency.errors import PotencyError
from potency.web.frame import Pages, visiting
from potency.web.guard import INSTANT
from potency.web.intake import cleaned

pages = Pages()
FILES = 32  # of one request
SECONDS = 30.0  # that a request may take to arrive

BODY = {"multipart/form-data": {"schema": {
    "type": "object", "required": ["model", "files"], "additionalProperties": False, "properties": {
        "model": {"type": "string", "description": "its id, as /models.json lists it"},
        "files": {"type": "array", "minItems": 1, "maxItems": FILES, "items": {"type": "string", "format": "binary"}},
    }}}}  # fmt: skip


@dataclass(frozen=True)
class Answers:
    """What a model said, file by file.

    Attributes:
        version: beginning of the hash of the weights, as in the log.
        engine: what computed it.
        seconds: from the first byte of the request to the answer.
        answers: for each file its `name` and the cells of its row as `potency predict` writes them, or its `error`
            {"what", "where", "mend"}.
    """

    model: str
    version: str
    engine: str
    seconds: float
    answers: list[dict[str, Any]]


async def predict(request: Request) -> Response:
    """Answer up to 32 images at once: `curl -F model=ID -F files=@a.png`. 503 with Retry-After where too many ask."""
    begun, instant = time.perf_counter(), request.app.state.instant
    try:
        with instant.room():
            async with asyncio.timeout(SECONDS):
                form = await request.form(max_files=FILES, max_fields=8)
            visit = await visiting(request)
            model, files = asked(form)
            key = ("model", visit.person.id, model)
            folder = await request.app.state.recent.look(key, lambda: visit.shelf.folder(model))
            said = await instant.answers(folder, files)
    finally:
        await request.close()  # of the files that came with it
    line = instant.ready(folder).result()
    person = {"id": visit.person.id, "name": visit.person.name}
    instant.note(person, f"{model} {line.version}", visit.address, len(files))
    answers = [{"name": name, **({"error": told(one.error)} if one.error else plain(one.cells))}
               for one, (name, _) in zip(said, files, strict=True)]  # fmt: skip
    seconds = round(time.perf_counter() - begun, 6)
    made = Answers(model, line.version, line.model.engine, seconds, answers)
    return Response(json.dumps(vars(made)), media_type="application/json")


# A plain route: whether there is room is asked before anything of the body is read, as no other page does.
pages.router.add_api_route(
    INSTANT, predict, methods=["POST"], response_model=Answers, tags=["instant"], route_class_override=APIRoute,
    openapi_extra={"requestBody": {"required": True, "content": BODY}},
)  # fmt: skip


def asked(form: FormData) -> tuple[str, list[tuple[str, IO[bytes]]]]:
    """The model and the files that a form names; PotencyError where it lacks one of them."""
    model = form.get("model")
    files = [(cleaned(one.filename or ""), one.file) for one in form.getlist("files") if isinstance(one, UploadFile)]
    if not isinstance(model, str) or not files:
        raise PotencyError("a request names a model and holds a file or more", "the form",
                           "send the fields model and files, as multipart/form-data")  # fmt: skip
    return model, [(name, cast(IO[bytes], file)) for name, file in files]


def told(error: PotencyError) -> dict[str, str]:
    """An error as its three fields."""
    return {"what": error.what, "where": error.where, "mend": error.mend}


def plain(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Cells of a row as JSON: NumPy's numbers as numbers, none where there is no number."""
    made = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in cells.items()}
    return {name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in made.items()}  # fmt: skip
