"""The browsers of `serve.py --load`: each uploads, looks, asks at once and by the queue, all at the same time.

Each has cookies of its own, and sends with its forms the secret of the page that it loaded, as a real one does.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

PAGES = ("", "images", "jobs", "models", "about")
PATIENCE = 600.0  # seconds that the queue may take
SECRET = re.compile(r'<meta name="csrf" content="([^"]*)">')


class Browser:
    """One visitor: how long their pages took, and what of what they asked for did not come."""

    def __init__(self, address: str, model: str, image: bytes, rounds: int) -> None:
        self.http = httpx.AsyncClient(base_url=address, timeout=PATIENCE)
        self.model, self.image, self.rounds = model, image, rounds
        self.pages: list[float] = []
        self.uploads: list[float] = []
        self.jobs: list[str] = []
        self.answers = 0
        self.lost: list[str] = []

    async def visit(self, number: int) -> None:
        """Upload an image, put it in line, ask about it at once, look at every page, again and again."""
        await self._seen("")
        for turn in range(self.rounds):
            name = f"cell {number}-{turn}.png"
            taken = await self._sent("images.json", name, title=name)
            if taken is not None:
                job = await self._sent("answer.json", "", model=self.model, set=taken["set"])
                self.jobs += [job["id"]] if job else []
            said = await self._sent("predict.json", name, model=self.model)
            self.answers += said is not None and "error" not in said["answers"][0]
            for page in PAGES:
                await self._seen(page)

    async def _seen(self, page: str) -> None:
        start = time.perf_counter()
        found = await self.http.get(page, headers={"accept": "text/html"})
        self.pages.append(time.perf_counter() - start)
        if found.status_code != 200:
            self.lost.append(f"{page}: {found.status_code}")
            return
        secret = SECRET.search(found.text)
        assert secret is not None, f"the page {page!r} has no secret for its forms"
        self.http.headers["x-csrf-token"] = secret[1]

    async def _sent(self, path: str, name: str, **data: str) -> dict[str, Any] | None:
        start = time.perf_counter()
        files = [("files", (name, self.image, "image/png"))] if name else None
        found = await self.http.post(path, data=data, files=files)
        if path == "images.json":
            self.uploads.append(time.perf_counter() - start)
        if found.status_code != 200:
            self.lost.append(f"{path}: {found.status_code} {found.text[:100]}")
            return None
        told: dict[str, Any] = found.json()
        return told

    async def finished(self) -> None:
        """Wait for every job that was asked for."""
        until = time.monotonic() + PATIENCE
        for job in self.jobs:
            state = ""
            while state not in ("done", "failed", "cancelled") and time.monotonic() < until:
                found = await self.http.get(f"jobs/{job}.json")
                state = found.json()["job"]["state"] if found.status_code == 200 else ""
                await asyncio.sleep(0 if state == "done" else 1)
            if state != "done":
                self.lost.append(f"job {job}: {state or 'gone'}")


async def watched(pid: int, over: asyncio.Event) -> float:
    """The most memory, in MiB, that the server and its workers took together, seen every fifth of a second."""
    most = 0.0
    while not over.is_set():
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        most = max(most, sum(one.memory_info().rss for one in family) / 2**20)
        await asyncio.sleep(0.2)
    return most


async def main() -> None:
    address, model, image, pid, count, rounds = sys.argv[1:]
    pixels, over = Path(image).read_bytes(), asyncio.Event()
    browsers = [Browser(address, model, pixels, int(rounds)) for _ in range(int(count))]
    memory = asyncio.create_task(watched(int(pid), over))
    start = time.perf_counter()
    await asyncio.gather(*(one.visit(number) for number, one in enumerate(browsers)))
    busy = time.perf_counter() - start
    for one in browsers:
        await one.finished()
        await one.http.aclose()
    over.set()
    most = await memory
    lost = [line for one in browsers for line in one.lost]
    for line in lost[:10]:
        print(line, file=sys.stderr)
    pages = sorted(seconds for one in browsers for seconds in one.pages)
    print(json.dumps({
        "browsers": int(count), "uploads": sum(len(one.uploads) for one in browsers),
        "jobs": sum(len(one.jobs) for one in browsers), "answers": sum(one.answers for one in browsers),
        "pages": len(pages), "lost": len(lost), "median_page_s": pages[len(pages) // 2], "worst_page_s": pages[-1],
        "worst_upload_s": max(seconds for one in browsers for seconds in one.uploads), "busy_s": busy,
        "peak_rss_mib": most,
    }))  # fmt: skip


if __name__ == "__main__":
    asyncio.run(main())
