"""Bad machines, one by one: full disks, kills, clocks, two at once, no GPU, no network; nothing finished is lost."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable
from email.message import Message
from pathlib import Path

import numpy as np
import pandas as pd
from bad_bombs import png_of
from bad_case import Case, command, instead
from small_bundle import MIXED, Counting, bundle_of, columns, images

from potency.data.manifest import Manifest
from potency.data.readers import open_image
from potency.inference import claim
from potency.inference.engine import accelerate
from potency.inference.predict import predict
from potency.networks import Encoder
from potency.networks.weights import load_weights

POSIX = "" if hasattr(os, "fork") else "this system has no limits of processes"

# ------------------------------------------------------------------------------------------------- kills and clocks

WRITER = """
import sys
import pandas as pd
from pathlib import Path
from potency.data.manifest import Manifest
for turn in range(10**6):
    frame = pd.DataFrame({"image": [f"{n}.png" for n in range(2000)], "turn": turn})
    Manifest.of_rows(frame, sys.argv[1]).write(Path(sys.argv[1]) / "t.csv")
    print(turn, flush=True)
"""


def killed_writer(folder: Path) -> str:
    """Killed again and again while it replaces a table: what is there is whole, always."""
    for strike in range(3):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None and child.stdout.readline() == "0\n"
        time.sleep(0.01 + 0.013 * strike)  # in the middle of one of the next
        child.kill()
        child.wait()
        child.stdout.close()
        made = Manifest.read(folder / "t.csv").table
        assert len(made) == 2000 and made["turn"].nunique() == 1
    return "killed 3 times while it wrote: the table is whole, the old one or the new one"


PREDICTING = """
import sys, time
from pathlib import Path
from potency.bundle import Bundle
from potency.data.manifest import Manifest
from potency.inference.engine import accelerate
from potency.inference.predict import predict
def slowly(function, items):
    for item in items:
        yield function(item)
        time.sleep(0.05)
folder = Path(sys.argv[1])
fast = accelerate(Bundle.load(folder / "bundle"), engine="torch")
predict(Manifest.read(folder / "in" / "rows.csv"), fast, into=folder / "out", on=slowly, batch=4,
        progress=lambda done, total: print(done, flush=True))
"""


def killed_prediction(folder: Path) -> str:
    """Killed in the middle of forty images: what was finished is kept, and the same call does the rest."""
    given, saved = images(folder / "in", [(16, 16)] * 40), bundle_of().save(folder / "bundle")
    given.write(folder / "in" / "rows.csv")
    child = subprocess.Popen([sys.executable, "-c", PREDICTING, str(folder)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    done = 0
    for line in child.stdout:
        done = int(line)
        if done >= 12:
            child.kill()
    child.wait()
    child.stdout.close()
    assert child.returncode == -signal.SIGKILL and 12 <= done < 40
    fast = accelerate(saved, engine="torch")
    found = predict(given, fast, into=folder / "out", on=(rest := Counting()), batch=4)
    assert 40 - done - 4 <= rest.handed <= 40 - done, "at most the running batch is lost"
    pd.testing.assert_frame_equal(columns(found), columns(predict(given, fast, into=None, batch=4)))
    assert not [path for path in (folder / "out" / "parts").iterdir() if path.name.startswith(".")]
    return "killed in the middle: the same call does the rest, and the answers are those of an undisturbed run"


def clock(folder: Path) -> str:
    """A file that changes while the clock goes back is new all the same; nothing finished is done again."""
    given, out, fast = images(folder / "in", MIXED), folder / "out", accelerate(bundle_of(), engine="torch")
    first = predict(given, fast, into=out)
    path = folder / "in" / "im 05.npy"
    np.save(path, np.ones((16, 16), np.uint8))
    os.utime(path, (10**9, 10**9))  # 2001
    for left in (out / "parts").iterdir():
        os.utime(left, (4 * 10**9, 4 * 10**9))  # 2096
    with instead(time, "time", lambda: 10.0**9):
        second = predict(given, fast, into=out, on=(again := Counting()))
    assert again.handed == 1, "the image that changed is predicted again, and no other"
    same = np.arange(len(MIXED)) != 5
    pd.testing.assert_frame_equal(columns(second)[same], columns(first)[same])
    return "of ten images the changed one is predicted again, the others are kept"


def twice(folder: Path) -> None:
    """A second prediction into a folder that is being written."""
    given = images(folder / "in", MIXED[:2])
    with claim.claimed(folder / "out"), instead(claim, "PATIENCE", 0.1):
        predict(given, bundle_of(), into=folder / "out", on=(counting := Counting()))
    assert counting.handed == 0


def memory_used_up(folder: Path) -> None:
    """An array of a gigabyte on a machine with less: the file is sound, and it is not called damaged."""
    import resource

    with (folder / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (2**15, 2**16)})
        file.truncate(file.tell() + 2**31)
    image = open_image(folder / "a.npy")
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 5 * 2**29, before[1]))  # the map of the file fits, its copy does not
    try:
        image[{}]
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def memory_of_a_command(folder: Path) -> str:
    def used_up(*_: object, **__: object) -> None:
        raise MemoryError

    with instead(Manifest, "read", used_up):
        return command("check", folder)


TIME = [
    Case("kill -9 at any moment", "a kill while a table is replaced", killed_writer, "the table is whole", needs=POSIX),
    Case("kill -9 at any moment", "a kill in the middle of a prediction", killed_prediction,
         "the same call does the rest", needs=POSIX),
    Case("clock going backwards", "a clock that went back 25 years between two calls", clock, "the others are kept"),
    Case("two processes on one folder", "a second prediction into the same folder", twice, "another process is writing",
         "wait until it ends, or choose another --into", "out"),
    Case("out of memory", "a window of 2 GiB where there is less", memory_used_up, "there is not enough memory",
         "close other programs", "a.npy", "" if Path("/proc/self/statm").exists() else "this system does not tell"),
    Case("out of memory", "an image that only its header makes large", lambda f: (
        (f / "a.png").write_bytes(png_of(70_000, 70_000)), open_image(f / "a.png")[{}])[1], "4.6 GiB to decode",
         "tiled TIFF", "a.png"),
    Case("out of memory", "a command that needs more than there is", memory_of_a_command,
         "the memory of this machine is used up", "fewer --workers", "potency check"),
]  # fmt: skip

# ------------------------------------------------------------------------------------------------- GPUs and networks


def no_gpu(folder: Path) -> None:
    accelerate(bundle_of(), "cuda:99")


def download(*, after: int | None) -> Callable[[Path], None]:
    """Starting weights from the hub: no answer at all, or one that breaks off after some bytes."""

    class Broken(io.BytesIO):
        """An answer of 8 MB that breaks off."""

        def info(self) -> Message:
            facts = Message()
            facts["Content-Length"] = "8000000"
            return facts

        def read(self, size: int | None = -1) -> bytes:
            given = super().read(size)
            if not given:
                raise ConnectionResetError("the connection was lost")
            return given

    def answer(*_: object, **__: object) -> Broken:
        if after is None:
            raise urllib.error.URLError("no network")
        return Broken(bytes(after))

    def do(folder: Path) -> None:
        import torch

        network = Encoder("squeezenet", 1, 2, 32)
        with instead(torch.hub, "urlopen", answer), instead(torch.hub, "get_dir", lambda: str(folder)):
            try:
                load_weights(network, "imagenet")
            finally:
                assert not [path for path in folder.rglob("*") if path.is_file()]  # a whole one, people would think

    return do


NETWORK = [
    Case("no GPU though asked", "device='cuda:99'", no_gpu, "device 'cuda:99' is not there", "potency doctor",
         "device="),
    Case("interrupted download", "ImageNet weights whose download breaks off", download(after=10_000),
         "the ImageNet weights of 'squeezenet' cannot be fetched", "go online, or give a local safetensors file",
         "plan.weights"),
    Case("no network", "ImageNet weights without a network", download(after=None),
         "the ImageNet weights of 'squeezenet' cannot be fetched", "go online, or give a local safetensors file",
         "plan.weights"),
]  # fmt: skip
CASES = [*TIME, *NETWORK]
