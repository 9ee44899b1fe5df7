"""Dask: the same rows as from map, killed workers lose nothing, few batches in flight, plain errors."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pool_functions import Deadly, Die, Unpackable, fail_at_three, slow_double
from small_bundle import MIXED, bundle_of, images
from zoo import cells

from potency.bundle import Bundle
from potency.cli import run
from potency.errors import MissingExtra, PotencyError
from potency.inference import cluster
from potency.inference.cluster import Cluster, connected, mapper
from potency.inference.pool import Lost, Pool
from potency.inference.predict import predict

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("dask.distributed", reason="the extra cluster is not installed")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two processes; they see the tests' own functions, as workers of a user see what is installed."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # a killed worker is told of in many lines
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), before]).rstrip(os.pathsep)
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):  # of 3, six workers more would start
        made = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
        )
    with made, distributed.Client(made) as client:
        yield client
    os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_of().save(tmp_path_factory.mktemp("model") / "bundle")


def test_items_are_drawn_only_as_far_ahead_as_there_are_threads(client: Any) -> None:
    drawn = []

    def items() -> Iterator[int]:
        for i in range(50):
            drawn.append(i)
            yield i

    results = iter(Cluster(client, ahead=2)(slow_double, items()))
    assert next(results) == 0 and len(drawn) <= 4
    assert [next(results) for _ in range(3)] == [2, 4, 6]
    results.close()  # type: ignore[attr-defined]
    assert len(drawn) <= 8


def test_an_error_of_the_function_comes_back_as_itself_and_what_cannot_travel_is_told_at_once(client: Any) -> None:
    with pytest.raises(PotencyError) as raised:
        list(mapper(client)(fail_at_three, range(6)))
    assert (raised.value.what, raised.value.mend) == ("three is no number", "leave it out")
    with pytest.raises(PotencyError, match="it cannot travel"):
        list(mapper(client)(Unpackable(), range(3)))


def test_other_versions_on_a_worker_are_refused_by_name(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = type(client).get_versions

    def older(self: Any, **given: Any) -> Any:
        found = real(self, **given)
        one = next(iter(found["workers"].values()))
        one["packages"]["torch"] = "1.0"
        return found

    monkeypatch.setattr(type(client), "get_versions", older)
    with pytest.raises(PotencyError, match=r"workers run other versions than this computer: torch 1\.0 inst") as raised:
        list(Cluster(client)(slow_double, [1]))
    assert 'pip install "potency[cluster]' in raised.value.mend and raised.value.where.startswith("tcp://")


def test_a_cluster_without_workers_is_given_up_with_a_reason() -> None:
    told = pytest.raises(PotencyError, match="the cluster has had no worker for 1 s")
    empty = distributed.LocalCluster(n_workers=0, dashboard_address=":0")
    with empty, distributed.Client(empty) as alone, told as raised:
        list(Cluster(alone, patience=0.6)(slow_double, [1]))
    assert "dask worker" in raised.value.mend


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    told = pytest.raises(PotencyError, match="the scheduler cannot be reached")
    with told as raised, connected("tcp://127.0.0.1:9", 1):
        pass
    assert raised.value.where == "tcp://127.0.0.1:9" and "dask scheduler" in raised.value.mend
    with pytest.raises(PotencyError, match="the scheduler cannot be reached"), connected("nonsense://x", 1):
        pass


def test_the_command_line_trains_and_predicts_on_a_cluster(
    client: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address, rows = client.scheduler.address, cells(tmp_path / "cells")
    small = ["--folds", "2", "--steps", "3", "--no-baselines", "--set", "batch=8", "--set", "validations=1",
             "--set", "test_views=1"]  # fmt: skip
    train = ["train", str(rows.folder), *small, "--cluster", address, "--into", str(tmp_path / "there"), "--json"]
    assert run(train) == 0, capsys.readouterr().err
    bundle = json.loads(capsys.readouterr().out.splitlines()[-1])["bundle"]
    told = []
    for where in (["--cluster", address], []):
        into = tmp_path / f"out{len(told)}"
        assert run(["predict", bundle, str(rows.folder), *where, "--into", str(into), "--json"]) == 0
        told.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    assert told[0]["predictions"] == told[1]["predictions"] and told[0]["rows"] == len(rows)
    assert told[0]["engine"] == told[1]["engine"] != ""
    assert run(["predict", bundle, str(rows.folder), "--cluster", address, "--workers", "2"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "workers of this computer and a cluster were both asked for" and len(said) == 3


def test_a_missing_extra_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with pytest.raises(MissingExtra) as raised, connected("tcp://127.0.0.1:8786"):
        pass
    assert raised.value.mend == 'pip install "potency[cluster]"'


def test_what_is_no_place_to_work_is_refused() -> None:
    with pytest.raises(PotencyError, match="work cannot be done on 'str'"):
        mapper("tcp://127.0.0.1:8786")  # type: ignore[arg-type]
    assert cluster.mapper(map) is map


# The tests that kill workers come last: a busy machine may take a minute to start another, and no test waits for it.


def test_rows_are_identical_from_map_from_dask_and_from_a_pool_though_each_loses_a_worker(
    tmp_path: Path, client: Any, bundle: Bundle
) -> None:
    rows = images(tmp_path / "in", [*MIXED, (80, 64)])
    (tmp_path / "in" / "im 02.npy").write_bytes(b"damaged")
    here = predict(rows, bundle, into=tmp_path / "map", batch=4)
    with Pool(1) as pool:
        for name, on in {"dask": Cluster(client), "pool": pool}.items():
            marks = tmp_path / f"marks of {name}"
            marks.mkdir()
            killed = predict(rows, bundle, into=tmp_path / f"killed {name}", on=Deadly(on, str(marks), 5), batch=4)
            assert (marks / "killed").exists(), "a worker really died"
            pd.testing.assert_frame_equal(killed.table, here.table, check_exact=True)
            assert killed.origin["prediction.engine"] == here.origin["prediction.engine"]


def test_an_item_that_kills_every_worker_is_lost_and_the_rest_goes_on(client: Any, tmp_path: Path) -> None:
    found = list(Cluster(client)(Die(str(tmp_path), always=2), [0, 2, 3]))
    assert [found[0], found[2]] == [0, 6]
    assert isinstance(found[1], Lost) and "again and again" in found[1].reason
