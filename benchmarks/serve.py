"""Answers at once over HTTP: `potency serve` beside a plain torch endpoint, asked by 1, 8 and 20 clients.

Both serve the same network (MobileNetV3-large, random weights, one view) for a PNG of 224 x 224 px in three channels,
each from a process of its own on the same cores, by turns, so that a busy moment hits both. The other side is what one
writes first: FastAPI, Pillow, eager torch. The clients are one process more, asynchronous, each on a connection that
is kept.

`python benchmarks/serve.py --load` is another question: 20 browsers at once upload, look at pages and predict, by the
queue and at once. Is anything lost, how long does the slowest page take, how much memory do server and worker need?
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from side_by_side import tell

HERE = Path(__file__).resolve().parent / "side_by_side"
NETWORK, SIDE = "mobilenetv3-large", 224
CLASSES = ("stem", "neuron", "astrocyte", "oligodendrocyte")
CHANNELS = ("red", "green", "blue")
CLIENTS = (1, 8, 20)


def made(place: Path) -> tuple[Path, Path]:
    """A bundle with random weights, and a PNG."""
    import numpy as np
    import torch
    from PIL import Image

    from potency.bundle import Bundle, Card, NetworkMember
    from potency.data.plan import Plan
    from potency.tasks import TASKS

    plan = Plan(channels=CHANNELS, classes=CLASSES, tile=SIDE, scaling=dict.fromkeys(CHANNELS, (0.0, 255.0)),
                network=NETWORK, symmetries=1)  # fmt: skip
    torch.manual_seed(0)
    nets = TASKS["classify"].build(plan).eval()
    bundle = Bundle(Card("classify", (plan,)), (NetworkMember(TASKS["classify"], plan, nets),))
    bundle.save(place / "bundle")
    noise = np.random.default_rng(0).normal(120, 25, (SIDE // 4, SIDE // 4, 3)).clip(0, 255).astype(np.uint8)
    path = place / "cell.png"
    Image.fromarray(noise).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path)
    return place / "bundle", path


def shelved(folder: Path, bundle: Path) -> str:
    """A web tool's folder with this bundle among the models of whoever sits at the machine; its id."""
    import shutil

    from potency.web.people import LOCAL, People
    from potency.web.shelf import Shelf
    from potency.web.store import Store

    store = Store(folder)
    shelf = Shelf(store, People(store).always(LOCAL, "admin"))
    id, into = shelf.make("benchmark")
    shutil.copytree(bundle, into)
    shelf.put(id, "benchmark")
    return id


@contextlib.contextmanager
def running(*words: str) -> Iterator[tuple[str, int]]:
    """A server: its address, which it prints first, and its process."""
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("open "):
            raise RuntimeError(f"{words[-1]} did not start: {line}")
        yield line.split()[1], process.pid
    finally:
        process.terminate()
        process.communicate()


@contextlib.contextmanager
def ours(folder: Path) -> Iterator[tuple[str, int]]:
    """`potency serve` on a free port."""
    words = ["-m", "potency", "serve", "--into", str(folder), "--port", "0", "--no-open"]
    with running(*words) as found:
        yield found


def asked(address: str, path: str, model: str, image: Path, clients: int, seconds: float) -> dict[str, Any]:
    """What the clients, in a process of their own, saw of a server."""
    words = [sys.executable, str(HERE / "clients.py"), address, path, model, str(image), str(clients), str(seconds)]
    ran = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def beside(quick: bool) -> list[dict[str, Any]]:
    """The rows: both servers asked in turns by each number of clients."""
    seconds, rounds = (1.0, 1) if quick else (6.0, 3)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        bundle, image = made(place)
        model = shelved(place / "web", bundle)
        with ours(place / "web") as (here, _), running(str(HERE / "plain_endpoint.py"), str(bundle)) as (other, _):
            sides = {"potency": (here, "predict.json", model), "plain torch endpoint": (other, "predict", "")}
            for address, path, which in sides.values():  # loading, and the first call, are not what is asked about
                asked(address, path, which, image, 1, 0.5)
            for clients in (1, 8) if quick else CLIENTS:
                seen: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
                for _ in range(rounds):
                    for side, (address, path, which) in sides.items():
                        seen[side].append(asked(address, path, which, image, clients, seconds))
                rate = {side: median(one["requests_per_s"] for one in found) for side, found in seen.items()}
                for side, found in seen.items():
                    rows.append({
                        "name": f"predict of a {SIDE} px PNG over HTTP, {NETWORK}", "source": side,
                        "role": "target" if side == "potency" else "other", "clients": clients,
                        "requests_per_s": rate[side],
                        **{key: float(median(one[key] for one in found)) for key in ("p50_ms", "p99_ms")},
                        "failed": sum(one["failed"] for one in found),
                        "requests": sum(one["requests"] for one in found),
                        "ratio": rate["potency"] / rate["plain torch endpoint"],
                    })  # fmt: skip
    return rows


def load(quick: bool) -> list[dict[str, Any]]:
    """20 browsers at once: what was lost, the slowest page, the memory of the server and its worker."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        bundle, image = made(place)
        model = shelved(place / "web", bundle)
        with ours(place / "web") as (address, pid):
            words = [sys.executable, str(HERE / "browsers.py"), address, model, str(image), str(pid),
                     "4" if quick else "20", "1" if quick else "3"]  # fmt: skip
            ran = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(ran.stdout)
    return [{"name": "browsers upload, look and predict at once", "source": "potency", "role": "other", **found}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 s of 1 and 8 clients, once: does it run")
    parser.add_argument("--load", action="store_true", help="20 browsers at once, instead")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    tell(load(chosen.quick) if chosen.load else beside(chosen.quick), chosen.json)


if __name__ == "__main__":
    main()
