"""A learned pooler: a head on embeddings as numbers and a card, fitted, called on units, saved without code."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from potency.errors import BundleError, PlanError, PotencyError, nearest
from potency.networks.pooling import BAGS, SEQUENCES
from potency.pooling.bags import Units

SCHEMA = 1
AT_ONCE = 256  # units in one call
SMOOTHING = 0.05
HEADS = (*BAGS, *SEQUENCES)


@dataclass(frozen=True)
class Recipe:
    """How a pooler learns; small, because units are few.

    Attributes:
        head: one of BAGS (mean, attention, gated, transformer), or forward in time: one of SEQUENCES (gru, causal).
        width: numbers an embedding is reduced to; divisible by 4.
        keep: of a bag, the share of its instances seen in a step of learning.
    """

    head: str = "gated"
    width: int = 32
    steps: int = 300
    rate: float = 8e-3
    decay: float = 0.05
    dropout: float = 0.25
    batch: int = 32
    keep: float = 0.7
    seed: int = 0

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise PlanError(f"there is no head {self.head!r}", "pool --learn", nearest(self.head, HEADS))
        if self.width < 4 or self.width % 4 or self.steps < 1 or self.batch < 1 or not 0 < self.keep <= 1:
            raise PlanError("the recipe of the pooler has impossible values", str(self), "see pool.md")

    @property
    def forward(self) -> bool:
        """Whether it answers at every step, from that step and those before."""
        return self.head in SEQUENCES


class Net(nn.Module):
    """Embeddings (N, L, F) scaled and reduced, pooled by the head, one linear layer: {"output"[, "attention"]}."""

    mean: Tensor
    spread: Tensor

    def __init__(self, recipe: Recipe, features: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))
        self.enter = nn.Sequential(nn.Linear(features, recipe.width), nn.GELU(), nn.Dropout(recipe.dropout))
        self.forward_only = recipe.forward
        self.head = (SEQUENCES if recipe.forward else BAGS)[recipe.head](recipe.width)
        self.leave = nn.Sequential(nn.Dropout(recipe.dropout), nn.Linear(recipe.width, outputs))

    def forward(self, x: Tensor, mask: Tensor) -> Mapping[str, Tensor]:
        seen = self.enter((x - self.mean) / self.spread)
        if self.forward_only:
            return {"output": self.leave(self.head(seen, mask))}
        pooled, weights = self.head(seen, mask)
        return {"output": self.leave(pooled), "attention": weights}


@dataclass(frozen=True, eq=False)
class Pooler:
    """A fitted head. `classes` in order, () for a number, which is `scale` = (mean, spread) of the learned truths."""

    recipe: Recipe
    net: Net
    names: tuple[str, ...]
    classes: tuple[str, ...]
    scale: tuple[float, float] = (0.0, 1.0)
    facts: Mapping[str, Any] = field(default_factory=dict)  # of what it learned, for people and for `pool --model`

    @classmethod
    def fit(
        cls, units: Units, truth: NDArray[Any], recipe: Recipe, classes: tuple[str, ...] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> Pooler:  # fmt: skip
        """Fit on units with truths (units,): names out of `classes`, or numbers. The same seed gives the same pooler.

        A head that looks forward learns to answer at every step, so that early steps learn what can be known early.
        """
        if not len(units):
            raise PlanError("there is no unit to learn from", "pool", "give units with a truth")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            net = Net(recipe, units.values.shape[1], len(classes) or 1)
            net.mean.copy_(torch.from_numpy(units.values.mean(0)))
            net.spread.copy_(torch.from_numpy(units.values.std(0)).clamp_min(1e-6))
            scale = (0.0, 1.0)
            if classes:
                target = torch.tensor([classes.index(str(name)) for name in truth])
                weight = (1 / torch.bincount(target, minlength=len(classes)).clamp_min(1).float()).sqrt()
            else:
                values = np.asarray(truth, np.float64)
                scale = (float(values.mean()), float(values.std()) or 1.0)
                target, weight = torch.from_numpy((values - scale[0]) / scale[1]).float(), torch.ones(1)
            _learn(net, units, target, (recipe, weight / weight.mean()))
        return cls(recipe, net.eval(), units.names, classes, scale, dict(facts or {}))

    def __call__(self, units: Units) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Answers and attention: of bags (units, K) and (instances,) of sum 1, of sequences (instances, K) and None.

        Answers are probabilities in the order of the classes, or the number (K = 1).
        """
        if units.names != self.names:
            raise PlanError(f"the pooler learned from {len(self.names)} numbers, others are given ({len(units.names)})",
                            "the embedding", f"give {', '.join(self.names[:3])} ...")  # fmt: skip
        found, weights = [], []
        for first in range(0, len(units), AT_ONCE):
            some = units.take(np.arange(first, min(first + AT_ONCE, len(units))))
            x, mask = (torch.from_numpy(array) for array in some.padded())
            with torch.inference_mode():
                out = self.net(x, mask)
            found.append((out["output"][mask] if self.recipe.forward else out["output"]).double().numpy())
            if "attention" in out:
                weights.append(out["attention"][mask].double().numpy())
        raw = np.concatenate(found)
        if not self.classes:
            return raw * self.scale[1] + self.scale[0], np.concatenate(weights) if weights else None
        power = np.exp(raw - raw.max(axis=1, keepdims=True))
        return power / power.sum(axis=1, keepdims=True), np.concatenate(weights) if weights else None

    def save(self, folder: str | Path) -> Path:
        """Write `pooler.safetensors` and `pooler.json`: numbers and text, nothing that is executed."""
        from safetensors.torch import save

        from potency.data.whole import replaced

        folder = Path(folder)
        card = {
            "schema": SCHEMA, "recipe": asdict(self.recipe), "names": self.names, "classes": self.classes,
            "scale": self.scale, "facts": dict(self.facts),
        }  # fmt: skip
        try:
            folder.mkdir(parents=True, exist_ok=True)
            replaced(folder / "pooler.safetensors", save({k: v.contiguous() for k, v in self.net.state_dict().items()}))
            replaced(folder / "pooler.json", (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode())
        except OSError as error:
            raise PotencyError(f"the pooler cannot be written: {error.strerror or error}", str(folder),
                               "free some space, or choose another --into") from error  # fmt: skip
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Pooler:
        """Read what `save` wrote.

        Raises:
            BundleError: missing, damaged, hostile, or of a newer schema.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        folder = Path(folder)
        try:
            card = json.loads((folder / "pooler.json").read_text(encoding="utf-8"))
            if int(card["schema"]) > SCHEMA:
                raise BundleError("the pooler was written by a newer potency", str(folder), "pip install -U potency")
            recipe, names = Recipe(**card["recipe"]), tuple(map(str, card["names"]))
            classes, scale = tuple(map(str, card["classes"])), (float(card["scale"][0]), float(card["scale"][1]))
            state = load((folder / "pooler.safetensors").read_bytes())
            net = Net(recipe, len(names), len(classes) or 1)
            net.load_state_dict(state)
        except PotencyError:
            raise
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, RecursionError) as error:
            first = (str(error).splitlines() or [""])[0]
            mend = "give the folder that `potency pool --learn` wrote, or copy it again"
            raise BundleError(f"the pooler cannot be read: {first}", str(folder), mend) from error
        if not all(bool(torch.isfinite(v).all()) for v in state.values()):
            raise BundleError("the weights of the pooler hold not-a-number", str(folder), "copy it again")
        return cls(recipe, net.eval(), names, classes, scale, dict(card.get("facts", {})))


def _learn(net: Net, units: Units, target: Tensor, how: tuple[Recipe, Tensor]) -> None:
    recipe, weight = how
    whole, there = (torch.from_numpy(array) for array in units.padded())
    optimiser = torch.optim.AdamW(net.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    random = torch.Generator().manual_seed(recipe.seed)
    order = torch.empty(0, dtype=torch.long)
    size = min(recipe.batch, len(units))
    net.train()
    for step in range(recipe.steps):
        share = step / recipe.steps  # a linear start over a tenth of the steps, then a cosine to 0
        optimiser.param_groups[0]["lr"] = recipe.rate * min(1.0, (step + 1) / (0.1 * recipe.steps + 1)) * (
            0.5 + 0.5 * math.cos(math.pi * share)
        )
        if len(order) < size:
            order = torch.cat([order, torch.randperm(len(units), generator=random)])
        chosen, order = order[:size], order[size:]
        x, mask = whole[chosen], there[chosen]
        if not recipe.forward:  # a part of each bag, one instance at least: no instance may become indispensable
            luck = torch.rand(mask.shape, generator=random).masked_fill(~mask, 2.0)
            mask = mask & ((luck < recipe.keep) | (luck == luck.min(1, keepdim=True).values))
        output = net(x, mask)["output"]
        told = target[chosen][:, None].expand(mask.shape)[mask] if recipe.forward else target[chosen]
        output = output[mask] if recipe.forward else output
        if output.shape[1] > 1:
            loss = nn.functional.cross_entropy(output, told, weight=weight, label_smoothing=SMOOTHING)
        else:
            loss = nn.functional.smooth_l1_loss(output[:, 0], told)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
