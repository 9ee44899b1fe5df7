"""What all tests share: a quiet, single-threaded machine set up before torch is imported, and the real images."""

from __future__ import annotations

import os

# Before any import that could bring torch, OpenMP or matplotlib along.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that reaches for the network is a test that fails elsewhere

import gc  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

import pytest  # noqa: E402

if TYPE_CHECKING:
    from fastapi.testclient import TestClient
    from playwright.sync_api import Browser


# What takes longest (a minute, or a server with a browser) comes first, so that no process ends alone with it.
LONG = (
    "test_benchmarks.py", "test_docs.py", "test_efficiency.py", "test_cli_train.py", "test_protocol.py",
    "test_together.py", "test_web_answer_browser.py", "test_web_train.py", "test_colonies.py", "test_precision.py",
)  # fmt: skip


def pytest_collection() -> None:
    """Millions of objects are imported, hardly any is garbage: not looked for until all are there."""
    gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order of files that `--dist loadfile --no-loadscope-reorder` hands out; without processes it matters not."""
    place = {name: at for at, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONG)))


def pytest_collection_finish() -> None:
    """What collecting has imported stays to the end: no need to look through a million objects for garbage again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)  # as the command line: a tenth of all time went into looking
    gc.enable()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium, one for each file of tests of pages."""
    from browser import browsing

    with browsing() as found:
        yield found


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """Whoever sits at the machine of a web tool in the folder `web` of `tmp_path`."""
    from fastapi.testclient import TestClient
    from visitors import HERE, tool

    from potency.web.settings import Limits

    with TestClient(tool(tmp_path / "web", limits=Limits(free=0)), base_url=HERE) as client:
        yield client


@pytest.fixture(scope="module")
def few_trees() -> Iterator[None]:
    """Forests of 20 trees in this process, for tests in which a forest only has to stand beside something."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("potency.estimators.pipelines.TREES", 20)
        yield


@pytest.fixture
def one_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a report's ten figures the first only, in this process, where another test draws them all for such rows."""
    from potency.evaluation import plots

    monkeypatch.setattr(plots, "draw_all", lambda report: [plot for plot in (plots.glance(report),) if plot])


@pytest.fixture(scope="session")
def real_images() -> Path:
    """The folder of real images that POTENCY_DATA names; where it is absent the test is skipped, with the reason."""
    where = os.environ.get("POTENCY_DATA", "")
    if not where:
        pytest.skip("real images: POTENCY_DATA names no folder")
    if not (Path(where) / "classify").is_dir():
        pytest.skip(f"real images: POTENCY_DATA={where} holds no folder 'classify'")
    return Path(where)
