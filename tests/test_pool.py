"""Pools: results in order from quiet workers, whatever is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from pool_functions import Die, Unpackable, double, environment, fail_at_three

from potency.errors import PotencyError
from potency.inference.pool import Lost, Mapper, Pool


def test_a_pool_gives_results_in_order_from_quiet_workers() -> None:
    with Pool(2) as on:
        assert list(on(double, range(9))) == [2 * i for i in range(9)]
        found = set(on(environment, range(8)))
    assert {entry[:2] for entry in found} == {("1", "PASSIVE")}
    assert len({entry[2] for entry in found}) <= 2 and str(os.getpid()) not in {entry[2] for entry in found}


def test_a_pool_draws_items_only_as_far_ahead_as_it_works() -> None:
    drawn = []

    def items() -> Any:
        for i in range(100):
            drawn.append(i)
            yield i

    with Pool(1, ahead=2) as on:
        results = iter(on(double, items()))
        assert next(results) == 0
        assert len(drawn) <= 3
        results.close()  # type: ignore[attr-defined]


def test_killed_workers_lose_nothing(tmp_path: Path) -> None:
    with Pool(2) as on:
        assert list(on(Die(str(tmp_path), once=2), range(7))) == [2 * i for i in range(7)]


def test_an_item_that_kills_its_worker_twice_is_lost_and_the_rest_goes_on(tmp_path: Path) -> None:
    with Pool(1) as on:
        found = list(on(Die(str(tmp_path), always=2), [0, 2, 3, 4]))
    assert [found[0], *found[2:]] == [0, 6, 8]
    assert isinstance(found[1], Lost) and "twice" in found[1].reason


def test_an_error_of_the_function_comes_back_as_itself() -> None:
    with Pool(1) as on:
        with pytest.raises(PotencyError) as raised:
            list(on(fail_at_three, range(6)))
        assert (raised.value.what, raised.value.mend) == ("three is no number", "leave it out")
        assert list(on(double, [1])) == [2], "the pool is usable afterwards"


def test_what_cannot_travel_is_an_error_and_never_a_pool_that_waits_for_ever() -> None:
    for _ in range(3):
        with Pool(2) as on:
            assert list(on(double, range(4))) == [0, 2, 4, 6]
            with pytest.raises(PotencyError, match="it cannot travel"):
                list(on(Unpackable(), range(6)))


def test_an_impossible_pool_is_refused() -> None:
    with pytest.raises(PotencyError, match="a pool of -1 workers"):
        Pool(-1)
    assert Pool().workers >= 1


def test_where_temporary_files_lie_deep_workers_begin_anew(tmp_path: Path) -> None:
    """The address of the process that is copied is a file there, and would be too long."""
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    code = ("from potency.inference.pool import Pool, _context; from pool_functions import double; "
            "print(_context(1).get_start_method(), *Pool(1)(double, [4]))")  # fmt: skip
    places = os.pathsep.join(map(str, Path(__file__).parents[:2]))
    free = {**os.environ, "PYTHONPATH": places}
    for place, expected in ((deep, "spawn"), (Path("/tmp"), "forkserver" if sys.platform == "linux" else "spawn")):
        call = [sys.executable, "-c", code]
        ran = subprocess.run(call, env={**free, "TMPDIR": str(place)}, capture_output=True, text=True, check=False)
        assert ran.stdout.split() == [expected, "8"], ran.stderr


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent("""
        import os, time
        from potency.inference.pool import Pool
        def pid(item): return os.getpid()
        if __name__ == "__main__":
            on = Pool(1)
            print(list(on(pid, [1]))[0], flush=True)
            time.sleep(60)
        """)
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


def test_the_builtin_map_and_pools_are_mappers() -> None:
    mappers: list[Mapper] = [map, Pool(1)]
    assert list(mappers[0](double, [1, 2])) == [2, 4]
