"""Where the work of a command is done: in this process, on processes of this computer, or on a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from potency.errors import PotencyError

if TYPE_CHECKING:
    from potency.inference.pool import Mapper

CLUSTER_HELP = "Scheduler of a Dask cluster, tcp://host:8786 or its scheduler file; it must see the same files."


@contextmanager
def workplace(workers: int | None, cluster: str) -> Iterator[Mapper]:
    """The mapper that was asked for: a number of processes (0: one a core; None: this process), or a cluster.

    Raises:
        PotencyError: both were asked for, or the cluster cannot be reached. MissingExtra: dask is not installed.
    """
    if cluster:
        if workers:
            raise PotencyError(
                "workers of this computer and a cluster were both asked for", "--workers, --cluster", "give one of them"
            )
        from potency.inference.cluster import connected

        with connected(cluster) as on:
            yield on
    elif workers is None:
        yield map
    else:
        from potency.inference.pool import Pool

        with Pool(workers) as pool:
            yield pool
