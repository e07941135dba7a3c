"""The rooms of the design, kept by reading the source."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import tilecore

PACKAGE = Path(tilecore.__file__).parent

#: A module imports only from folders of a lower rank, or from its own folder.
RANKS = {
    "errors": 0,
    "bytesize": 1,
    "locked_file": 1,
    "machine": 1,
    "plugins": 1,
    "renaming": 1,
    "configuration": 2,
    "output_file": 2,
    "geometry": 3,  # integers only
    "memory": 3,  # bytes that processes share
    "arrays": 4,  # how any array is reached
    "samples": 4,
    "executors": 5,  # they pack what they send
    "formats": 5,  # files as sources and sinks
    "engine": 6,  # takes paths wherever it takes arrays
    "pictures": 7,
    "blobs": 8,
    "recordings": 8,
    "stacks": 8,  # the parts, thin over the engine
    "compat": 9,
    "cli": 10,
}

MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
IDS = [str(path.relative_to(PACKAGE)) for path in MODULES]


def room(module: str) -> str:
    """Folder (or file, at the top) of a dotted module name."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path) -> Iterator[str]:
    """Every tilecore module a module imports, at its top or inside its functions."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tilecore."):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("tilecore."))


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_imports_come_from_lower_rooms(path: Path) -> None:
    """A module imports from rooms of a lower rank, or from its own."""
    own = room(dotted(path))
    if own in ("", "__main__"):
        return
    for module in imports(path):
        other = room(module)
        assert other == own or RANKS[other] < RANKS[own], f"{dotted(path)} imports {module}"


def test_every_room_has_a_rank() -> None:
    """No folder and no module at the top stands outside the design."""
    rooms = {room(dotted(path)) for path in MODULES} - {"", "__main__"}
    assert rooms <= set(RANKS)


def test_no_import_cycles() -> None:
    """Modules import each other in one direction."""
    graph = {dotted(path): set(imports(path)) for path in MODULES}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail, module])
        if module not in done:
            for other in graph.get(module, ()):
                visit(other, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_modules_are_short(path: Path) -> None:
    """A module of more than 300 lines asks to be two."""
    assert len(path.read_text().splitlines()) <= 320


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_functions_are_short(path: Path) -> None:
    """A function of more than 40 lines, without its docstring and its signature, asks to be two."""
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert length <= 40, f"{path.name}: {node.name} has {length} lines"


def test_no_drawer_for_everything() -> None:
    """Every module is named by what it is about."""
    for path in MODULES:
        assert path.stem not in {"utils", "helpers", "common", "misc", "tools", "util"}


@pytest.mark.parametrize("name", sorted(tilecore.__all__))
def test_public_names_exist(name: str) -> None:
    """Every public name resolves, and has a docstring if it is a function or a class."""
    value = getattr(tilecore, name)
    if inspect.isclass(value) or inspect.isroutine(value):
        assert value.__doc__


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.splitlines()[-1].split())


HEAVY = {"zarr", "tifffile", "skimage", "scipy", "dask", "matplotlib", "tqdm", "cloudpickle", "multiprocessing.pool"}


def test_import_is_light() -> None:
    """``import tilecore`` loads numpy at most, and so do the names of the geometry."""
    assert not HEAVY & loaded_by("import tilecore")
    assert not HEAVY & loaded_by("import tilecore; tilecore.TileGrid; tilecore.Box")


def test_help_is_light() -> None:
    """``tilecore --help`` does not even load numpy."""
    statement = "import tilecore.cli.main as m; m._parser(['--help']).format_help()"
    assert not (HEAVY | {"numpy"}) & loaded_by(statement)
