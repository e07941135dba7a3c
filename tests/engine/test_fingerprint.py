"""Tests of fingerprints: they hold everything that decides the result of a run, and nothing else."""

from __future__ import annotations

import dataclasses
import enum
import functools
import importlib
import json
import os
import re
import subprocess
import sys
import textwrap
import threading
import types
import unittest.mock
from collections import defaultdict, namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import tifffile
import zarr
from scipy.stats import norm

from tilecore import JournalError, SharedArray, Tile, TileError, collect_tiles, map_tiles, open_source
from tilecore.arrays.content import digest_of_array
from tilecore.engine.events import TileDone
from tilecore.engine.identity.fingerprint import fingerprint
from tilecore.engine.identity.values import new_describer
from tilecore.engine.inputs import Inputs
from tilecore.engine.jobs import CollectJob
from tilecore.geometry.tiles import TileGrid


def of(value: Any) -> str:
    """Return a value's description as in a journal."""
    describe = new_describer()
    return json.dumps([describe(value), describe.finish()], sort_keys=True)


def of_source(source: Any) -> str:
    grid = TileGrid(tuple(source.shape), 4)
    return json.dumps(fingerprint(CollectJob(np.sum), Inputs.of(source), grid), sort_keys=True)


def defined(text: str, name: str = "f") -> Any:
    """Define a function without a file, as at a prompt."""
    names: dict[str, Any] = {"np": np}
    exec(textwrap.dedent(text), names)
    return names[name]


DIFFERENT = {
    "a number": ("def f(b): return b + 1", "def f(b): return b + 2"),
    "a constant of the module": ("K = 1\ndef f(b): return b + K", "K = 2\ndef f(b): return b + K"),
    "a helper": ("def h(b): return b + 1\ndef f(b): return h(b)", "def h(b): return b + 2\ndef f(b): return h(b)"),
    "a helper's helper": (
        "K = 1\ndef g(b): return b * K\ndef h(b): return g(b)\ndef f(b): return h(b)",
        "K = 2\ndef g(b): return b * K\ndef h(b): return g(b)\ndef f(b): return h(b)",
    ),
    "a name": ("f = lambda b: np.sqrt(b)", "f = lambda b: np.square(b)"),
    "a default": ("def f(b, k=1): return b + k", "def f(b, k=2): return b + k"),
    "a keyword's default": ("def f(b, *, k=1): return b + k", "def f(b, *, k=2): return b + k"),
    "a nested function": (
        "def f(b):\n def g(): return b + 1\n return g()",
        "def f(b):\n def g(): return b + 2\n return g()",
    ),
    "a closure": ("def m(k): return lambda b: b + k\nf = m(1)", "def m(k): return lambda b: b + k\nf = m(2)"),
    "a function in a closure": (
        "def m(g): return lambda b: g(b)\nf = m(lambda b: b + 1)",
        "def m(g): return lambda b: g(b)\nf = m(lambda b: b + 2)",
    ),
    "a method": (
        "class C:\n def g(self, b): return b + 1\n def __call__(self, b): return self.g(b)\nf = C()",
        "class C:\n def g(self, b): return b + 2\n def __call__(self, b): return self.g(b)\nf = C()",
    ),
    "a method of a base": (
        "class A:\n def g(self, b): return b + 1\nclass C(A):\n def __call__(self, b): return self.g(b)\nf = C()",
        "class A:\n def g(self, b): return b + 2\nclass C(A):\n def __call__(self, b): return self.g(b)\nf = C()",
    ),
    "an attribute of a class": (
        "class C:\n k = 1\n def __call__(self, b): return b + self.k\nf = C()",
        "class C:\n k = 2\n def __call__(self, b): return b + self.k\nf = C()",
    ),
    "a static method": (
        "class C:\n @staticmethod\n def f(b): return b + 1\nf = C.f",
        "class C:\n @staticmethod\n def f(b): return b + 2\nf = C.f",
    ),
    "a property": (
        "class C:\n @property\n def k(self): return 1\n def __call__(self, b): return b + self.k\nf = C()",
        "class C:\n @property\n def k(self): return 2\n def __call__(self, b): return b + self.k\nf = C()",
    ),
    "an array of the module": (
        "K = np.arange(3)\ndef f(b): return K[b]",
        "K = np.arange(1, 4)\ndef f(b): return K[b]",
    ),
    "an integer and a float": ("K = 1\ndef f(b): return b + K", "K = 1.0\ndef f(b): return b + K"),
    "an integer and a bool": ("K = 1\ndef f(b): return b + K", "K = True\ndef f(b): return b + K"),
    "the sign of zero": ("def f(b): return b * 0.0", "def f(b): return b * -0.0"),
    "a set of constants": ("def f(b): return b in {1, 2}", "def f(b): return b in {1, 3}"),
    "a decorator": (
        "def d(g): return lambda b: g(b) + 1\n@d\ndef f(b): return b",
        "def d(g): return lambda b: g(b) + 2\n@d\ndef f(b): return b",
    ),
    "a cached function": (
        "import functools\n@functools.lru_cache\ndef h(): return 1\ndef f(b): return b + h()",
        "import functools\n@functools.lru_cache\ndef h(): return 2\ndef f(b): return b + h()",
    ),
    "a list and a tuple": ("K = (0, 1)\ndef f(b): return b[K]", "K = [0, 1]\ndef f(b): return b[K]"),
    "the order of a table": (
        "K = {'a': 1, 'b': 2}\ndef f(b):\n for k in K: b = b + K[k]\n return b",
        "K = {'b': 2, 'a': 1}\ndef f(b):\n for k in K: b = b + K[k]\n return b",
    ),
    "what a package's wrapper holds": (
        "@np.errstate(all='ignore')\ndef f(b): return b + 1",
        "@np.errstate(all='ignore')\ndef f(b): return b + 2",
    ),
    "what Python's wrapper holds": (
        "import contextlib\n@contextlib.contextmanager\ndef h(): yield 1\ndef f(b):\n with h() as k: return b + k",
        "import contextlib\n@contextlib.contextmanager\ndef h(): yield 2\ndef f(b):\n with h() as k: return b + k",
    ),
    "a function by the kind of its argument": (
        "import functools\n@functools.singledispatch\ndef f(b): return b + 1",
        "import functools\n@functools.singledispatch\ndef f(b): return b + 2",
    ),
    "the state of a decorator": (
        "import functools\nclass D:\n def __init__(s, g, k): functools.update_wrapper(s, g); s.k = k\n"
        " def __call__(s, b): return s.__wrapped__(b) * s.k\ndef g(b): return b\nf = D(g, 2)",
        "import functools\nclass D:\n def __init__(s, g, k): functools.update_wrapper(s, g); s.k = k\n"
        " def __call__(s, b): return s.__wrapped__(b) * s.k\ndef g(b): return b\nf = D(g, 3)",
    ),
    "an attribute of the function": ("def f(b): return b + f.k\nf.k = 1", "def f(b): return b + f.k\nf.k = 2"),
    "a made class": (
        "import dataclasses\nC = dataclasses.make_dataclass('C', [('a', int, 1)])\ndef f(b): return b + C().a",
        "import dataclasses\nC = dataclasses.make_dataclass('C', [('a', int, 2)])\ndef f(b): return b + C().a",
    ),
    "a metaclass": (
        "class M(type):\n k = 1\nclass C(metaclass=M): pass\ndef f(b): return b + C.k",
        "class M(type):\n k = 2\nclass C(metaclass=M): pass\ndef f(b): return b + C.k",
    ),
    "a method of a number": (
        "class N(float):\n def h(s): return s + 1\nK = N(1)\ndef f(b): return b + K.h()",
        "class N(float):\n def h(s): return s + 2\nK = N(1)\ndef f(b): return b + K.h()",
    ),
    "what is tried": (
        "def f(b):\n try: x = g(b)\n except ValueError: return 0\n return h(x)",
        "def f(b):\n try:\n  x = g(b)\n  return h(x)\n except ValueError: return 0",
    ),
    "a pattern": (
        "import re\nK = re.compile('a')\ndef f(b): return K.match(b)",
        "import re\nK = re.compile('b')\ndef f(b): return K.match(b)",
    ),
    "an option that is used": (
        "import argparse\nargs = argparse.Namespace(gain=1)\ndef f(b): return b * args.gain",
        "import argparse\nargs = argparse.Namespace(gain=2)\ndef f(b): return b * args.gain",
    ),
    "an exception that is caught": (
        "def f(b):\n try: return b.g()\n except KeyError: return b",
        "def f(b):\n try: return b.g()\n except ValueError: return b",
    ),
}


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT)
def test_what_decides_the_result_tells_functions_apart(pair: tuple[str, str]) -> None:
    first, other = map(defined, pair)
    assert of(first) != of(other)
    assert of(first) == of(defined(pair[0]))


SAME = {
    "a comment": ("def f(b):\n return b + 1", "def f(b):\n # adds one\n return b + 1  # here\n"),
    "a docstring": ("def f(b):\n return None", 'def f(b):\n "Nothing."\n return None'),
    "another docstring": ('def f(b):\n "A."\n return b', 'def f(b):\n "B."\n return b'),
    "lines above": ("def f(b): return b + 1", "\n\n\ndef f(b): return b + 1"),
    "what it does not reach": ("K = 1\ndef f(b): return b + 1", "K = 2\ndef f(b): return b + 1"),
    "the line of a lambda": ("f = dict(g=lambda b: b + 1)['g']", "f = dict(r=True, g=lambda b: b + 1)['g']"),
    "an option that is not used": (
        "import argparse\nargs = argparse.Namespace(gain=1, resume=False)\ndef f(b): return b * args.gain",
        "import argparse\nargs = argparse.Namespace(gain=1, resume=True)\ndef f(b): return b * args.gain",
    ),
    "the docstring of a class inside": (
        "def f(b):\n class C:\n  'A.'\n  k = 1\n return b + C.k",
        "def f(b):\n class C:\n  'B.'\n  k = 1\n return b + C.k",
    ),
    "a comment in a helper": (
        "def h(b): return b\ndef f(b): return h(b)",
        "def h(b): return b  # !\ndef f(b): return h(b)",
    ),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_what_decides_nothing_does_not(pair: tuple[str, str]) -> None:
    first, other = map(defined, pair)
    assert of(first) == of(other)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass
class Setting:
    sigma: float = 1.0
    names: list[str] = dataclasses.field(default_factory=list)


Pair = namedtuple("Pair", "a b")

VALUES: list[Callable[[], Any]] = [
    lambda: None,
    lambda: 1,
    lambda: 1.0,
    lambda: True,
    lambda: float("nan"),
    lambda: -0.0,
    lambda: "1",
    lambda: b"1",
    lambda: 1j,
    lambda: np.float32(1),
    lambda: np.float64(1),
    lambda: np.int8(1),
    lambda: [1, [2]],
    lambda: {"a": 1},
    lambda: {1: "a"},
    lambda: {"1": "a"},
    lambda: {1, 2, "c"},
    lambda: slice(1, 2),
    lambda: range(1, 2),
    lambda: np.arange(3),
    lambda: np.arange(3.0),
    lambda: np.arange(3).reshape(1, 3),
    lambda: np.array(["a", None], dtype=object),
    lambda: np.ma.masked_less(np.arange(3), 1),
    lambda: np.ma.masked_less(np.arange(3), 2),
    lambda: np.random.default_rng(1),
    lambda: np.random.default_rng(2),
    lambda: np.dtype("f4"),
    lambda: Colour.RED,
    lambda: Colour.BLUE,
    Setting,
    lambda: Setting(2.0),
    lambda: Pair(1, 2),
    lambda: defaultdict(int, a=1),
    lambda: Path("a"),
    lambda: np.sqrt,
    lambda: np.square,
    lambda: scipy.ndimage.gaussian_filter,
    lambda: functools.partial(scipy.ndimage.gaussian_filter, sigma=1),
    lambda: functools.partial(scipy.ndimage.gaussian_filter, sigma=2),
    lambda: [3, 4].index,
    lambda: [3, 5].index,
    lambda: sys.getsizeof,
    lambda: SharedArray.from_array(np.arange(4)),
    lambda: SharedArray.from_array(np.arange(5)),
    lambda: [threading.Lock()],
    lambda: Setting,
    lambda: json,
    lambda: ...,
    lambda: (1, [2]),
    lambda: [[], [1]],
    lambda: re.compile("a"),
    lambda: 2**20000,
    lambda: np.void(b"ab"),
    lambda: np.rec.array(np.arange(3)),
    lambda: [threading.local()],
    lambda: scipy.stats.norm,
    lambda: norm(1, 2),
]


def test_values_are_described_by_their_content() -> None:
    described = [of(make()) for make in VALUES]
    assert described == [of(make()) for make in VALUES]
    for number, each in enumerate(described):
        assert each not in described[:number], (number, each)


class AttrDict(dict):  # type: ignore[type-arg]
    __getattr__ = dict.__getitem__


class Rude:
    def __init__(self, how: str) -> None:
        self.how = how

    def __reduce_ex__(self, version: Any) -> Any:
        if self.how == "raises":
            raise RuntimeError("no")
        return None


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def _chain(length: int) -> Any:
    text = "def f0(b): return b\n"
    text += "".join(f"def f{n}(b): return f{n - 1}(b)\n" for n in range(1, length))
    return defined(text, f"f{length - 1}")


STRANGE: dict[str, Callable[[], Any]] = {
    "a dict with attributes": lambda: AttrDict(a=1),
    "no reduction": lambda: Rude("none"),
    "a reduction that raises": lambda: Rude("raises"),
    "a deep nesting": lambda: _nested(5000),
    "a long chain of functions": lambda: _chain(1000),
    "a function of no module": lambda: defined("def f(b): return b\nf.__module__ = None"),
    "a generator": lambda: (each for each in "ab"),
    "a mock": unittest.mock.Mock,
    "shared again and again": lambda: functools.reduce(lambda value, _: [value, value], range(60), []),
    "an import that leads nowhere": lambda: defined("def f(b):\n from ... import x\n return x"),
    "a module without a file": lambda: types.ModuleType("own_nothing"),
}


@pytest.mark.parametrize("make", STRANGE.values(), ids=STRANGE)
def test_strange_arguments_end_no_run(make: Callable[[], Any], tmp_path: Path) -> None:
    strange = make()
    out = tmp_path / "o.npy"
    result = map_tiles(lambda block, k: block + 1, np.zeros(4), kwargs={"k": strange}, out=out, executor="serial")
    assert (result == 1).all()


def test_to_describe_a_function_imports_no_package() -> None:
    code = (
        "import sys; from tilecore.engine.identity.values import new_describer\n"
        "def f(b):\n import scipy.cluster.vq\n return b\n"
        "d = new_describer(); d(f); d.finish(); assert 'scipy.cluster' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_descriptions_are_those_of_another_process() -> None:
    """Descriptions do not depend on the seed of hashes, nor on addresses of objects."""
    code = "from tests.engine.test_fingerprint import SAME_ELSEWHERE; print(SAME_ELSEWHERE())"
    found = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1]


def SAME_ELSEWHERE() -> list[str]:
    functions = [defined(text) for pair in DIFFERENT.values() for text in pair]
    return [of(make()) for make in VALUES] + [of(function) for function in functions]


def test_what_contains_itself() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert of(loop) == of(loop)


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Write a module of the user, and import it again."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(**texts: str) -> ModuleType:
        for name, text in texts.items():
            (tmp_path / f"{name}.py").write_text(text)
            os.utime(tmp_path / f"{name}.py", (1, len(text)))
        for name in [*sys.modules]:
            if name.startswith("own_"):
                del sys.modules[name]
        importlib.invalidate_caches()
        return importlib.import_module(next(iter(texts)))

    yield write
    for name in [*sys.modules]:
        if name.startswith("own_"):
            del sys.modules[name]


def test_other_modules_of_the_users_own_are_followed(own_module: Callable[..., ModuleType]) -> None:
    texts = {"own_a": "import own_b\ndef f(b): return own_b.h(b)\n", "own_b": "K = 1\nX = 1\ndef h(b): return b + K\n"}
    first = of(own_module(**texts).f)
    assert of(own_module(**texts).f) == first
    assert of(own_module(**texts | {"own_b": "K = 2\nX = 1\ndef h(b): return b + K\n"}).f) != first
    assert of(own_module(**texts | {"own_b": "K = 1\nX = 2\ndef h(b): return b + K\n"}).f) == first  # not reached
    module = own_module(**texts)
    module.own_b.K = 3
    assert of(module.f) != first


@pytest.mark.parametrize("line", ["import own_b", "from own_b import h", "import own_b as o"])
def test_modules_that_are_imported_in_the_function(line: str, own_module: Callable[..., ModuleType]) -> None:
    call = {"import own_b": "own_b.h", "from own_b import h": "h", "import own_b as o": "o.h"}[line]
    texts = {"own_a": f"def f(b):\n    {line}\n    return {call}(b)\n", "own_b": "def h(b): return b + 1\n"}
    first = of(own_module(**texts).f)
    importlib.import_module("own_b")
    assert of(sys.modules["own_a"].f) == first
    assert of(own_module(**texts | {"own_b": "def h(b): return b + 2\n"}).f) != first
    assert of(own_module(**texts | {"own_b": "# a comment\ndef h(b): return b + 1\n"}).f) == first


def test_a_module_that_is_passed_on_counts_as_a_whole(own_module: Callable[..., ModuleType]) -> None:
    texts = {"own_a": "import own_b\ndef f(b): return getattr(own_b, 'h')(b)\n", "own_b": "def h(b): return b + 1\n"}
    first = of(own_module(**texts).f)
    assert of(own_module(**texts | {"own_b": "def h(b): return b + 2\n"}).f) != first


def test_another_version_of_a_package_is_another_function(monkeypatch: pytest.MonkeyPatch) -> None:
    first = of(scipy.ndimage.gaussian_filter)
    monkeypatch.setattr("scipy.__version__", "0.1")
    assert of(scipy.ndimage.gaussian_filter) != first


ARRAYS = [
    np.random.default_rng(0).random((3, 5, 7)),
    np.random.default_rng(0).integers(0, 9, (40, 300, 700)).astype("u1"),
    np.asfortranarray(np.random.default_rng(0).random((30, 50, 70))),
    np.random.default_rng(0).random((1, 1, 3_000_000)),
    np.random.default_rng(0).random((60, 50, 70))[::2, ::-1, 5:],
    np.array(3.0),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.shape}")
def test_every_element_of_an_array_counts(array: np.ndarray) -> None:
    first = digest_of_array(array)
    assert digest_of_array(array.copy(order="K")) == first
    for number in np.random.default_rng(1).integers(0, array.size, 20):
        changed = array.copy()
        changed.flat[number] += 1
        assert digest_of_array(changed) != first


def test_empty_and_repeated_arrays() -> None:
    assert digest_of_array(np.zeros((0, 3))) == digest_of_array(np.ones((0, 3)))
    assert digest_of_array(np.broadcast_to(1.0, (10**5, 10**5, 10**5))) != digest_of_array(
        np.broadcast_to(2.0, (10**5, 10**5, 10**5))
    )


def test_stacks_that_are_black_at_their_edge_are_not_the_same() -> None:
    a, b = (np.random.default_rng(seed).random((128, 256, 256), dtype="f4") for seed in (1, 2))
    a[:, :, 0] = b[:, :, 0] = 0
    assert of_source(a) != of_source(b)


class Noise:
    """Source that computes its voxels."""

    shape, dtype = (8, 8), np.dtype("f8")

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.random.default_rng(self.seed).random(self.shape)[index]


def test_sources_of_the_users_own_are_known_by_what_they_are_made_of() -> None:
    assert of_source(Noise(1)) == of_source(Noise(1)) != of_source(Noise(2))


def test_arrays_of_other_zarr_groups_are_others(tmp_path: Path) -> None:
    arrays = []
    for name in ("a", "b"):
        group = zarr.open_group(tmp_path / name)
        arrays += [group.create_array(inner, shape=(8, 8), dtype="u1") for inner in ("x", "y")]
    assert len({of_source(array) for array in arrays}) == 4
    assert of_source(arrays[0]) == of_source(zarr.open_array(tmp_path / "a" / "x"))


def test_chunks_and_planes_rewritten_in_place_are_noticed(tmp_path: Path) -> None:
    volume = np.arange(4 * 16 * 16, dtype="u1").reshape(4, 16, 16)
    array = zarr.create_array(tmp_path / "v.zarr", shape=volume.shape, chunks=(2, 16, 16), dtype="u1")
    array[...] = volume
    for name in ("planes", "glob"):
        (tmp_path / name).mkdir()
        for z, plane in enumerate(volume):
            tifffile.imwrite(tmp_path / name / f"p{z}.tif", plane)
    np.save(tmp_path / "v.npy", volume)

    def all_of_them() -> list[str]:
        paths = [tmp_path / "v.zarr", tmp_path / "planes", tmp_path / "glob" / "p*.tif", tmp_path / "v.npy"]
        return [of_source(open_source(path)) for path in paths] + [of_source(array)]

    def rewrite(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content)
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1000))

    first = all_of_them()
    assert all_of_them() == first
    (tmp_path / "planes" / "blobs.csv").write_text("beside")
    assert all_of_them() == first
    for path in (
        tmp_path / "v.zarr" / "c" / "1" / "0" / "0",
        tmp_path / "planes" / "p2.tif",
        tmp_path / "glob" / "p2.tif",
    ):
        rewrite(path)
    rewrite(tmp_path / "v.npy")
    assert not set(all_of_them()) & set(first)


def test_parts_of_a_mapped_file_are_told_apart(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.arange(32.0).reshape(8, 4))
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    parts = [mapped[:4], mapped[4:], mapped[::2], mapped[::-2]]
    assert len({of_source(part) for part in parts}) == 4
    assert of_source(np.load(tmp_path / "v.npy", mmap_mode="r")[4:]) == of_source(parts[1])


@pytest.mark.parametrize("mode", ["r+", "c"])
def test_what_was_written_into_a_map_is_noticed(mode: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.arange(32.0).reshape(8, 4))
    mapped = np.load(tmp_path / "v.npy", mmap_mode=mode)
    first = of_source(mapped)
    mapped[3, 3] = -1
    assert of_source(mapped) != first


class Unknowable:
    """Function that holds something that cannot leave the process; it fails at a tile until it is allowed to go on."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, (folder / "log").open("w")

    def __call__(self, block: np.ndarray, tile: Tile) -> np.ndarray:
        if tile.number == 1 and not (self.folder / "go").exists():
            raise OSError("not yet")
        return block + 1


def test_what_cannot_be_known_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run: dict[str, Any] = {"tile_shape": 4, "executor": "serial", "retries": 0, "dtype": "f8", "pass_tile": True}
    run["out"] = tmp_path / "o.npy"
    function = Unknowable(tmp_path)
    with function.file:
        with pytest.raises(TileError):
            map_tiles(function, np.zeros(8), **run)
        assert "if this run is killed, it cannot be continued" in caplog.text
        (tmp_path / "go").touch()
        with pytest.raises(JournalError, match=r"function.*file, an object of type _io\.TextIOWrapper.*identity='"):
            map_tiles(function, np.zeros(8), resume=True, **run)
        with pytest.raises(JournalError, match=r"function.identity was missing, is .*model-v3"):
            map_tiles(function, np.zeros(8), resume=True, identity="model-v3", **run)


def test_what_cannot_be_known_can_be_vouched_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run: dict[str, Any] = {"tile_shape": 4, "executor": "serial", "retries": 0, "dtype": "f8", "pass_tile": True}
    run |= {"out": tmp_path / "o.npy", "identity": "model-v3"}
    function = Unknowable(tmp_path)
    with function.file:
        with pytest.raises(TileError):
            map_tiles(function, np.zeros(8), **run)
        assert "cannot be continued" not in caplog.text
        (tmp_path / "go").touch()
        with pytest.raises(JournalError, match="function.identity was .*model-v3.*, is .*model-v4"):
            map_tiles(function, np.zeros(8), resume=True, **run | {"identity": "model-v4"})
        done: list[Any] = []
        result = map_tiles(function, np.zeros(8), resume=True, callbacks=[done.append], **run)
    assert (result == 1).all()
    assert sum(isinstance(event, TileDone) for event in done) == 1


def test_the_seed_of_another_script_is_another_run(tmp_path: Path) -> None:
    """Two runs of a script with different constants: the second one is refused, with the reason."""
    script = textwrap.dedent(
        """
        import os, sys
        import numpy as np
        import tilecore
        FACTOR = int(sys.argv[1])
        def helper(block):
            return block * FACTOR
        def function(block, tile):
            if tile.number == 1 and sys.argv[2] == "die":
                os._exit(9)
            return helper(block)
        tilecore.map_tiles(function, np.ones(8), tile_shape=4, pass_tile=True, out="o.npy", dtype="f8",
                           executor="serial", resume=True)
        """
    )
    (tmp_path / "script.py").write_text(script)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "script.py", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert run("2", "die").returncode == 9
    refused = run("3", "live")
    assert "code.__main__.helper.globals.FACTOR was 2, is 3" in refused.stderr
    assert run("2", "live").returncode == 0, refused.stderr
    assert (np.load(tmp_path / "o.npy") == 2).all()


def test_a_run_of_many_arguments_costs_little(tmp_path: Path) -> None:
    """Each function and array is described only once."""
    table = np.zeros(2**20)
    calls: list[int] = []

    def f(block: np.ndarray) -> float:
        return float(block.sum() + table[0])

    describe = new_describer()
    original = describe.named
    describe.named = lambda *a: calls.append(1) or original(*a)  # type: ignore[method-assign,func-returns-value]
    described = describe([f] * 1000)
    assert described == [{"function": f"{__name__}.{f.__qualname__}"}] * 1000
    assert len(describe.finish()) == 1
    assert len(calls) == 1000
    assert collect_tiles(f, np.ones(8), tile_shape=4, executor="serial", journal=tmp_path / "j") == [4.0, 4.0]
