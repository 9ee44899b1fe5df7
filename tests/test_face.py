"""The public face: every name is there, is documented, and costs nothing until it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import potency


def test_every_name_of_the_face_is_there_and_documented() -> None:
    assert potency.__all__ == dir(potency) == sorted(potency.__all__)
    for name in potency.__all__:
        found = getattr(potency, name)
        assert name == "__version__" or (found.__doc__ and found.__name__ == name), name


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = potency.trian


def test_importing_the_package_imports_nothing_heavy_and_calms_openmp() -> None:
    check = "import os, sys, potency; heavy = {'torch', 'numpy', 'pandas'} & set(sys.modules); "
    check += "assert not heavy, heavy; assert os.environ['OMP_WAIT_POLICY'] == 'PASSIVE'"
    subprocess.run([sys.executable, "-c", check], check=True, env={})


def test_no_library_reports_to_its_makers() -> None:
    """OpenVINO would send its every import to a service of statistics; it finds its stub instead."""
    said = (
        "import potency, openvino; from openvino.tools.ovc import telemetry_utils; print(telemetry_utils.tm.__name__)"
    )
    told = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert told.stdout.strip().endswith("telemetry_stub"), told
