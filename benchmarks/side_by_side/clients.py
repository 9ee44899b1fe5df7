"""Clients of serve.py in a process of their own: each asks again as soon as it has its answer, on one connection."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

LINE = "potency-benchmark"


def request(host: str, path: str, model: str, image: Path) -> bytes:
    """The bytes of a request; they are the same every time, so that the client costs next to nothing."""
    parts = [f'--{LINE}\r\nContent-Disposition: form-data; name="model"\r\n\r\n{model}\r\n'.encode()] if model else []
    head = f'Content-Disposition: form-data; name="files"; filename="{image.name}"\r\nContent-Type: image/png'
    parts += [f"--{LINE}\r\n{head}\r\n\r\n".encode(), image.read_bytes(), f"\r\n--{LINE}--\r\n".encode()]
    body = b"".join(parts)
    lines = [f"POST /{path} HTTP/1.1", f"Host: {host}", "Accept: application/json",
             f"Content-Type: multipart/form-data; boundary={LINE}", f"Content-Length: {len(body)}"]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode() + body


async def client(host: str, port: int, sent: bytes, until: float, taken: list[float]) -> int:
    """Ask until the time is over; gives how many answers were none."""
    reader, writer = await asyncio.open_connection(host, port)
    failed = 0
    while time.perf_counter() < until:
        start = time.perf_counter()
        writer.write(sent)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        taken.append(time.perf_counter() - start)
        failed += not (head.startswith(b"http/1.1 200") and b'"error"' not in body and b"neuron" in body)
    writer.close()
    return failed


async def main() -> None:
    address, path, model, image, count, seconds = sys.argv[1:]
    parts = urlsplit(address)
    sent = request(parts.netloc, path, model, Path(image))
    taken: list[float] = []
    start = time.perf_counter()
    assert parts.hostname and parts.port
    calls = [client(parts.hostname, parts.port, sent, start + float(seconds), taken) for _ in range(int(count))]
    failed = sum(await asyncio.gather(*calls))
    p50, p99 = np.percentile(1e3 * np.array(taken), [50, 99])
    rate = len(taken) / (time.perf_counter() - start)
    print(json.dumps({"requests_per_s": rate, "p50_ms": p50, "p99_ms": p99, "failed": failed, "requests": len(taken)}))


if __name__ == "__main__":
    asyncio.run(main())
