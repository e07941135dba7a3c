"""Tests of the architecture: imports, sizes and names of modules, read from the source."""

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
    "array_types": 1,  # types alone: no code that runs
    "bytesize": 1,
    "extras": 1,
    "locked_file": 1,
    "machine": 1,
    "plugins": 1,
    "process_identity": 1,
    "renaming": 1,
    "configuration": 2,
    "output_file": 2,
    "spreading": 2,
    "geometry": 3,  # integers only
    "memory": 3,  # bytes that processes share
    "objects": 3,  # bytes under keys, at URLs
    "arrays": 4,  # how any array is reached
    "samples": 4,
    "executors": 5,  # they pack what they send
    "formats": 5,  # files as sources and sinks
    "engine": 6,  # takes paths wherever it takes arrays
    "filters": 7,  # functions of whole arrays, which declare what tiles need
    "pictures": 7,
    "throttling": 7,  # names and plugins for dask
    "blobs": 8,
    "datasets": 8,
    "recordings": 8,
    "stacks": 8,  # the parts, thin over the engine
    "compat": 9,
    "finishing": 9,  # knows the rooms whose runs are done in parts
    "testing": 9,  # contracts for what other packages bring
    "cli": 10,
}

MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
IDS = [str(path.relative_to(PACKAGE)) for path in MODULES]


def room(module: str) -> str:
    """Folder (or file, at the top level) of a dotted module name."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path) -> Iterator[str]:
    """All tilecore modules that a module imports, at its top or inside functions."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tilecore."):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("tilecore."))


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_imports_come_from_lower_rooms(path: Path) -> None:
    """A module imports only from folders of a lower rank, or from its own."""
    own = room(dotted(path))
    if own in ("", "__main__"):
        return
    for module in imports(path):
        other = room(module)
        assert other == own or RANKS[other] < RANKS[own], f"{dotted(path)} imports {module}"


def test_nothing_needs_what_is_for_tests() -> None:
    """The contracts need pytest: whoever runs tilecore need not have it."""
    others = [path for path in MODULES if room(dotted(path)) != "testing"]
    found = [dotted(path) for path in others if any(room(module) == "testing" for module in imports(path))]
    assert found == []


def test_every_room_has_a_rank() -> None:
    """Every folder and every top-level module has a rank."""
    rooms = {room(dotted(path)) for path in MODULES} - {"", "__main__"}
    assert rooms <= set(RANKS)


def test_no_import_cycles() -> None:
    """There are no cycles of imports."""
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
    """Modules have at most about 300 lines."""
    assert len(path.read_text().splitlines()) <= 320


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_functions_are_short(path: Path) -> None:
    """Functions have at most about 40 lines, without docstring and signature."""
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert length <= 40, f"{path.name}: {node.name} has {length} lines"


def signatures(path: Path) -> Iterator[tuple[str, ast.expr]]:
    """Each parameter and result of a module's functions that has a type, by a name that tells the place."""
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            given = node.args
            several = filter(None, [given.vararg, given.kwarg])
            for each in [*given.posonlyargs, *given.args, *given.kwonlyargs, *several]:
                if each.annotation is not None:
                    yield f"{path.relative_to(PACKAGE)}: {each.arg} of {node.name}", each.annotation
            if node.returns is not None:
                yield f"{path.relative_to(PACKAGE)}: result of {node.name}", node.returns


#: As many parameters and results may be of any type: of pickled messages, of indices, of values that are looked into.
MOST_ANY = 58


def test_types_say_something() -> None:
    """A parameter or result that is a bare ``Any`` tells nobody what it is."""
    bare = [place for path in MODULES for place, kind in signatures(path) if ast.unparse(kind) in ("Any", "typing.Any")]
    assert len(bare) <= MOST_ANY, (
        f"{len(bare)} parameters and results are a bare Any, {MOST_ANY} may be. Say what a new one is: a protocol or "
        "an alias of tilecore/array_types.py, object where it is only handed on or asked by isinstance, a TypeVar "
        "where what goes in comes out. They are:\n" + "\n".join(bare)
    )


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_types_are_shown_not_claimed(path: Path) -> None:
    """``typing.cast`` believes anything: a variable with a type, or isinstance, is checked."""
    calls = [ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    assert not {"cast", "typing.cast"} & set(calls), f"{path.relative_to(PACKAGE)} calls typing.cast"


def test_type_checkers_see_every_public_name() -> None:
    """A type checker takes of a stub only what its ``__all__`` names."""
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text())
    (listed,) = [node.value for node in stub.body if isinstance(node, ast.Assign)]
    assert sorted(ast.literal_eval(listed)) == sorted(tilecore.__all__)


def test_no_drawer_for_everything() -> None:
    """Every module is named after its subject; there is none for mixed functions."""
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


HEAVY = {"zarr", "tifffile", "imageio", "skimage", "scipy", "dask", "matplotlib", "tqdm", "cloudpickle"}
HEAVY |= {"fsspec", "s3fs", "multiprocessing.pool"}


def test_import_is_light() -> None:
    """``import tilecore`` loads numpy at most, and so do the names of the geometry."""
    assert not HEAVY & loaded_by("import tilecore")
    assert not HEAVY & loaded_by("import tilecore; tilecore.TileGrid; tilecore.Box")


def test_contracts_are_loaded_when_they_are_asked_for() -> None:
    """``tilecore.testing`` itself needs no pytest."""
    assert "pytest" not in loaded_by("import tilecore.testing; tilecore.testing.nothing_left")
    assert "pytest" in loaded_by("from tilecore.testing import ReaderContract")


def test_a_contract_without_pytest_says_what_is_needed() -> None:
    code = (
        "import importlib.util; importlib.util.find_spec = lambda name: None\n"
        "try: from tilecore.testing import SinkContract\n"
        "except ImportError as error: print(error)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "tilecore[testing]"' in result.stdout


def test_help_is_light() -> None:
    """``tilecore --help`` does not even load numpy."""
    statement = "import tilecore.cli.main as m; m._parser(['--help']).format_help()"
    assert not (HEAVY | {"numpy"}) & loaded_by(statement)
