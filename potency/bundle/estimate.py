"""A classical model as a member: what it sees of a sample, measured or through networks, and the model on that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from potency.bundle.member import Member, NetworkMember, Output
from potency.data.plan import Plan
from potency.data.tiles import centre
from potency.errors import BundleError, PlanError
from potency.estimators import Fitted, find_estimator
from potency.tasks import Sample, Task

if TYPE_CHECKING:
    import pandas as pd

FROZEN: Mapping[str, Any] = {"steps": 0}  # what a network learns that an estimator stands on, unless it says otherwise


@dataclass(frozen=True, eq=False)
class Features:
    """What an estimator sees of a sample: measured families, then the embeddings of networks, side by side.

    Attributes:
        plan: of the estimator; its families, or those the estimator names when it stands on no network.
        networks: one for each of `plan.members`, each with its own crop and scaling.
    """

    plan: Plan
    networks: tuple[NetworkMember, ...] = ()

    @property
    def families(self) -> tuple[str, ...]:
        return self.plan.families or (() if self.plan.members else find_estimator(self.plan.network).families)

    def __call__(self, images: Sequence[NDArray[Any]]) -> pd.DataFrame:
        """One row a crop (C, H, W): `<family>.<channel>.<feature>`, then `embedding.<member>.<network>.<number>`.

        Families measure the crop as it is, at most a tile of its centre; nothing is padded, so its size still counts.
        """
        import pandas as pd

        from potency.measurement import features

        own = [centre(image, self.plan.tile) for image in images]
        tables = [features(own, self.families, self.plan.channels, self.plan.pixel_size)] if self.families else []
        for i, network in enumerate(self.networks):
            values = _embedded(network, images)
            names = [f"embedding.{i}.{network.plan.network}.{k}" for k in range(values.shape[1])]
            tables.append(pd.DataFrame(values, columns=names))
        return pd.concat(tables, axis=1)

    def with_networks(self, change: Callable[[NetworkMember], NetworkMember]) -> Features:
        """The same features through changed networks (compiled ones, say)."""
        return replace(self, networks=tuple(map(change, self.networks)))


def _embedded(network: NetworkMember, images: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    found = network.outputs([{"image": image} for image in images])
    if found and "embedding" not in found[0]:
        raise PlanError(
            f"the network {network.plan.network!r} gives no embedding", "plan.members", "choose an image-level network"
        )
    return np.stack([output["embedding"] for output in found])


class EstimatorMember(Member):
    """Features of the crop and a classical model on them."""

    learner = "estimator"

    def __init__(self, task: Task, plan: Plan, fitted: Fitted, networks: Sequence[NetworkMember] = ()) -> None:
        self.task, self.plan, self.fitted = task, plan, fitted
        self.features = Features(plan, tuple(networks))

    def outputs(self, samples: Sequence[Sample]) -> list[Output]:
        return self.of_features(self.features(self.images(samples)))

    def of_features(self, features: Any) -> list[Output]:
        """Outputs in the form a task decodes: log-probabilities, or the value in spreads from the mean.

        The features are the embedding.
        """
        found = self.fitted.predict(features)
        if "probability" in found:
            output = np.log(np.clip(found["probability"], 1e-6, 1))
        else:
            settings = self.plan.settings
            output = (found["value"][:, None] - settings["mean"]) / settings["spread"]
        seen = np.asarray(features, np.float32)
        return [{"output": row, "embedding": own} for row, own in zip(output.astype(np.float32), seen, strict=True)]

    def with_networks(self, change: Callable[[NetworkMember], NetworkMember]) -> Member:
        networks = self.features.with_networks(change).networks
        return EstimatorMember(self.task, self.plan, self.fitted, networks).knowing(self.known) if networks else self

    @classmethod
    def suffixes(cls, plan: Plan) -> tuple[str, ...]:
        return (".skops", *(f".{i}.safetensors" for i in range(len(plan.members))))

    def dumps(self) -> tuple[bytes, ...]:
        return (self.fitted.dumps(), *(data for network in self.features.networks for data in network.dumps()))

    @classmethod
    def loads(cls, files: Mapping[str, bytes], task: Task, plan: Plan, where: str) -> Self:
        fitted = Fitted.loads(files[".skops"], f"{where}.skops")
        networks = []
        for i, own in enumerate(plan.member_plans(**FROZEN)):
            if own.learner != NetworkMember.learner:
                raise BundleError(
                    f"an estimator stands on networks, not on a {own.learner}", where, "copy the bundle again"
                )
            data = {".safetensors": files[f".{i}.safetensors"]}
            networks.append(NetworkMember.loads(data, task, own, f"{where}.{i}"))
        return cls(task, plan, fitted, networks)
