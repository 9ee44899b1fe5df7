"""The budgets of the house, held by reading the source: sizes, arrows that point down, what is never written."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[1]
PACKAGE = HOME / "potency"
# From the ground up; an import may only point to the left.
ROOMS = [
    *("errors", "data", "decoding", "networks", "answers", "tasks", "evaluation", "measurement", "pictures"),
    *("estimators", "bundle", "inference", "explanation", "confounding", "reliance", "embedding", "learning"),
    *("labelling", "pooling", "timing", "simulate", "systems", "web", "cli"),
]
WITHOUT_TORCH = (
    *("errors", "data", "answers", "decoding", "evaluation", "measurement", "pictures"),
    *("confounding", "reliance", "timing", "simulate"),
)
CONFESSIONS = re.compile(r"^_?(utils?|misc|helpers?|core|common|managers?|factory|handlers?)$")
NEVER_IMPORTED = {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
NEVER_CALLED = ("multiprocessing.Pool", "mp.Pool", "get_context().Pool", "read_pickle", "to_pickle")
NEVER_PASSED = {("allow_pickle", True), ("weights_only", False), ("shell", True)}
SOURCES = sorted(p for room in ("potency", "tests", "benchmarks", "recipes") for p in (HOME / room).rglob("*.py"))
MODULES = sorted(PACKAGE.rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree(path)))


@cache
def module(path: Path) -> str:
    parts = path.relative_to(HOME).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def here(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(HOME)}:{getattr(node, 'lineno', 1)}"


@cache
def imports(path: Path) -> tuple[tuple[str, ast.AST], ...]:
    """Every module that a file imports, wherever in the file it does so, but not those named for type checking only."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[tuple[str, ast.AST]]:
    typing_only = {
        id(inner)
        for node in nodes(path)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    package = module(path).split(".")[: None if path.name == "__init__.py" else -1]
    for node in nodes(path):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield (f"{base}.{alias.name}" if f"{base}.{alias.name}" in KNOWN else base), node


KNOWN = {module(p) for p in MODULES}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (n for n in nodes(path) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def test_files_fit_a_budget_and_begin_with_what_they_are_for() -> None:
    wrong = []
    for path in SOURCES:
        text = path.read_text("utf-8")
        if (lines := text.count("\n")) > 300:
            wrong.append(f"{here(path, tree(path))} has {lines} lines, more than 300")
        docstring = ast.get_docstring(tree(path))
        if not text.startswith('"""') or not docstring or not docstring.splitlines()[0].endswith((".", ":")):
            wrong.append(f"{here(path, tree(path))} does not begin with one sentence that says what it is for")
        if CONFESSIONS.match(path.stem) or any(CONFESSIONS.match(part) for part in path.relative_to(HOME).parts[:-1]):
            wrong.append(f"{path.relative_to(HOME)} is named after nothing")
    assert not wrong, "\n".join(wrong)


def test_functions_fit_a_budget() -> None:
    wrong = []
    for path in SOURCES:
        for node in functions(path):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if (lines := (node.end_lineno or first) - first + 1) > 60:
                wrong.append(f"{here(path, node)} {node.name} has {lines} lines, more than 60")
            names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            if len(names) - (names[:1] in (["self"], ["cls"])) > 8:
                wrong.append(f"{here(path, node)} {node.name} takes {len(names)} arguments, more than 8")
    assert not wrong, "\n".join(wrong)


def test_imports_point_down() -> None:
    wrong = []
    for path in MODULES:
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if room in ("__init__", "__main__"):  # the face and the door stand before the house, not in it
            continue
        assert room in ROOMS, f"{path.relative_to(HOME)} stands in no room of {ROOMS}"
        for name, node in imports(path):
            parts = name.split(".")
            if parts[0] == "potency" and len(parts) > 1 and parts[1] not in ROOMS[: ROOMS.index(room) + 1]:
                wrong.append(f"{here(path, node)} climbs from {room} to {name}")
    assert not wrong, "\n".join(wrong)


def test_there_is_no_import_circle() -> None:
    graph = {module(p): {name for name, _ in imports(p) if name in KNOWN and name != module(p)} for p in MODULES}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as circle:
        pytest.fail("import circle: " + " -> ".join(circle.args[1]))


def test_rooms_of_tables_and_numbers_import_without_torch() -> None:
    names = [module(p) for p in MODULES if p.relative_to(PACKAGE).with_suffix("").parts[0] in WITHOUT_TORCH]
    blocked = (
        "import sys, importlib\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'torchvision', 'timm'): raise ImportError('blocked: ' + name)\n"
        "sys.meta_path.insert(0, Block())\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
    )
    ran = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, cwd=HOME, check=False)
    assert ran.returncode == 0, ran.stderr


def test_no_task_is_compared_by_name() -> None:
    tasks = {p.stem for p in (PACKAGE / "tasks").glob("*.py")} - {"__init__", "task"}
    wrong = []
    for path in MODULES:
        for node in nodes(path):
            sides: list[ast.AST] = []
            if isinstance(node, ast.Compare):
                sides = [inner for side in (node.left, *node.comparators) for inner in ast.walk(side)]
            elif isinstance(node, ast.match_case):
                sides = list(ast.walk(node.pattern))
            named = any(isinstance(s, ast.Constant) and isinstance(s.value, str) and s.value in tasks for s in sides)
            if named or any(isinstance(s, ast.Attribute) and ast.unparse(s).endswith("task.name") for s in sides):
                wrong.append(f"{here(path, sides[0])} compares a task's name")
    assert not wrong, "\n".join(wrong)


def test_nothing_hides_a_fault_or_executes_a_file() -> None:
    wrong = []
    for path in SOURCES:
        for node in nodes(path):
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                wrong.append(f"{here(path, node)} bare except")
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in ("eval", "exec") or called.endswith(NEVER_CALLED):
                    wrong.append(f"{here(path, node)} calls {called}")
                for word in node.keywords:
                    if isinstance(word.value, ast.Constant) and (word.arg, word.value.value) in NEVER_PASSED:
                        wrong.append(f"{here(path, node)} passes {word.arg}={word.value.value}")
        if path.is_relative_to(PACKAGE):
            wrong += [f"{here(path, n)} imports {m}" for m, n in imports(path) if m.split(".")[0] in NEVER_IMPORTED]
    assert not wrong, "\n".join(wrong)


def test_every_library_is_declared_and_every_core_one_is_used() -> None:
    project = tomllib.loads((HOME / "pyproject.toml").read_text("utf-8"))["project"]

    def names(lines: list[str]) -> set[str]:
        return {re.split(r"[^A-Za-z0-9._-]", line)[0].lower().replace("_", "-") for line in lines}

    needed = names(project["dependencies"])
    declared = needed.union(*(names(extra) for extra in project["optional-dependencies"].values()))
    owner = {top: {d.lower().replace("_", "-") for d in dists} for top, dists in packages_distributions().items()}
    used: dict[str, str] = {}
    for path in MODULES:
        for name, node in imports(path):
            top = name.split(".")[0]
            if top not in sys.stdlib_module_names and top != "potency":
                used.setdefault(top, here(path, node))
    # Read by pandas for .xlsx, never imported by name.
    hidden = {"openpyxl"}
    undeclared = [f"{where} imports {top}" for top, where in used.items() if not owner.get(top, {top}) & declared]
    assert not undeclared, "\n".join(undeclared)
    idle = needed - hidden - set().union(*(owner.get(top, {top}) for top in used))
    assert not idle, f"core dependencies that no file imports: {sorted(idle)}"


def test_no_tracked_file_names_a_machine_or_a_registry() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, cwd=HOME, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: nothing is tracked")
    # Written in halves so that this file does not find itself.
    hosts = ["pypi" + ".org", "python" + "hosted", "registry." + "npmjs", "deb." + "debian", "conda" + ".anaconda"]
    folders = [rf"(?<![\w.$~-])/{top}/[A-Za-z0-9._-]+" for top in ("work", "farm", "root", "home", "Users")]
    pattern = re.compile("|".join([*map(re.escape, hosts), *folders]))
    wrong = []
    for name in filter(None, listed.stdout.split("\0")):
        path = HOME / name
        if path.suffix in {".png", ".svg", ".safetensors", ".npy"} or not path.is_file():
            continue
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
            wrong += [f"{name}:{number} names {found.group()}" for found in pattern.finditer(line)]
    assert not wrong, "\n".join(wrong)
