"""A recipe as a module, so that tests can hold what ships against what its recipe says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

RECIPES = Path(__file__).parents[1] / "recipes"


def recipe_of(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{name}_recipe", RECIPES / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where a frozen dataclass looks for its module
    spec.loader.exec_module(module)
    return module
