"""What feeds the training of `tiny` at 64 px: cached and augmented crops beside the steps that learn from them."""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from reading import beside_decoder  # noqa: E402
from side_by_side import interleaved, tell  # noqa: E402

from potency.data.plan import Plan  # noqa: E402
from potency.learning import gradient  # noqa: E402
from potency.learning.augment import AUGMENTATIONS, DEFAULT  # noqa: E402
from potency.learning.samples import Samples  # noqa: E402
from potency.tasks import TASKS  # noqa: E402

TILE, BATCH, CROPS = 64, 64, 4096
EVERY = dict.fromkeys(AUGMENTATIONS, 0.1)


def rates(augment: dict[str, float], folder: Path, repeats: int, steps: int) -> dict[str, float]:
    """Images a second of the loader alone, and of the steps alone on batches that are already there."""
    task = TASKS["classify"]
    plan = Plan(channels=("phase",), classes=("a", "b", "c", "d"), tile=TILE, scaling={"phase": (0, 4095)},
                network="tiny", batch=BATCH, augment=augment, steps=10**6)  # fmt: skip
    random = np.random.default_rng(0)
    np.save(folder / "crops.npy", random.integers(0, 4096, (CROPS, 1, TILE, TILE), np.uint16))
    whole = np.tile([0, 0, TILE, TILE], (CROPS, 1))  # no crop is padded
    samples = Samples(np.load(folder / "crops.npy", mmap_mode="r"), np.arange(CROPS), whole, ())
    targets: list[Any] = [{"target": np.array(k, np.int64)} for k in random.integers(0, 4, CROPS)]
    lesson = gradient.Lesson(samples, np.arange(CROPS), targets)
    order = gradient.Order(lesson, plan)
    torch.manual_seed(0)
    nets = task.build(plan).to(memory_format=torch.channels_last)
    optimisers = {part: gradient._optimiser(net, plan) for part, net in nets.items()}
    device = next(nets.parameters()).device

    def loaded(number: int) -> Any:
        batch = task.collate(list(gradient.views(task, plan, lesson, order(number), number)))
        return gradient._laid_out(batch, device)

    ready = [loaded(number) for number in range(steps)]

    def learned() -> None:
        for batch in ready:
            for part, loss in task.losses(nets, batch, plan):
                loss.backward()
                optimisers[part].step()
                optimisers[part].zero_grad(set_to_none=True)

    taken = interleaved({"ours": lambda: [loaded(n) for n in range(steps)], "other": learned}, repeats)
    return {side: steps * BATCH / seconds for side, seconds in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repeats and fewer files")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    repeats, steps = (1, 3) if chosen.quick else (9, 10)
    found: list[dict[str, Any]] = []
    size = {"tile": TILE, "batch": BATCH, "unit": "images/s", "repeats": repeats}
    with tempfile.TemporaryDirectory() as name:
        for title, role, augment in (
            ("training-cache", "target", dict(DEFAULT)),
            ("training-cache, every augmentation", "other", EVERY),
        ):
            told = rates(augment, Path(name), repeats, steps)
            row = {"name": title, "source": "potency", "role": role, **size, "augment": ", ".join(augment)}
            ratio = told["ours"] / told["other"]
            found.append({**row, "beside": "learning steps of tiny", **told, "ratio": ratio})
    decoded = beside_decoder("png", TILE, 16, 256 if chosen.quick else 4096, "target", repeats)
    found.append({**decoded, "name": "png-decode", "tile": TILE})
    tell(found, chosen.json)


if __name__ == "__main__":
    main()
