"""Descriptions of code as JSON values: what it does, and all of the user's own code that it reaches.

Code is described by its instructions, so that comments, docstrings and line numbers do not matter.
For installed packages, the version stands for all of their code. Modules of the user's own, also
those of editable installs, are followed as far as the code reaches.
"""

from __future__ import annotations

import argparse
import builtins
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

from tilecore.array_types import Json
from tilecore.arrays.content import digest_of_bytes
from tilecore.engine.identity.bytecode import code_digest, global_names, imported_modules
from tilecore.engine.identity.describer import Describer
from tilecore.engine.identity.installed import (
    is_installed_file,
    is_installed_module,
    is_installed_object,
    is_of_tilecore,
    release_of,
)

__all__ = [
    "by_name",
    "describe_class",
    "describe_compiled",
    "describe_function",
    "describe_module",
]

# Attributes of a class that do not change what it does.
_BOOKKEEPING = frozenset(
    {
        "__abstractmethods__",
        "__annotate__",
        "__annotate_func__",
        "__annotations__",
        "__annotations_cache__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__dict__",
        "__doc__",
        "__firstlineno__",
        "__match_args__",
        "__module__",
        "__orig_bases__",
        "__parameters__",
        "__qualname__",
        "__slots__",
        "__static_attributes__",
        "__weakref__",
        "_abc_impl",
    }
)
_DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType, types.WrapperDescriptorType)
_MISSING = object()


def describe_compiled(
    describe: Describer, value: types.BuiltinFunctionType | types.MethodDescriptorType | types.ClassMethodDescriptorType
) -> dict[str, Any]:
    """Describe a function of a compiled module, or a method of an object."""
    owner = getattr(value, "__self__", None)
    name = getattr(value, "__qualname__", value.__name__)
    if owner is not None and not isinstance(owner, (types.ModuleType, type)):
        return {"method": name, "of": describe(owner)}
    return by_name(describe, getattr(value, "__module__", None) or type(value).__module__, name)


def by_name(describe: Describer, module: str, name: str) -> dict[str, Any]:
    """Describe a compiled object by its name and the version, or the content, of its module."""
    described: dict[str, Any] = {"object": f"{module}.{name}"}
    found = sys.modules.get(module)
    if found is None or is_installed_module(module):
        return described | {"version": release_of(module)}
    is_compiled = not (_file(found) or ".py").endswith(".py")
    return described | {"of": describe(found)} if is_compiled else described


def describe_function(describe: Describer, value: types.FunctionType) -> dict[str, Any]:
    """Describe a function by what it does and reaches, or by the version of its package."""
    name = f"{value.__module__}.{value.__qualname__}"
    if is_installed_object(value):
        return {"function": name, "version": release_of(value.__module__)}
    return describe.named("function", name, value, lambda: _function_part(describe, value))


def _function_part(describe: Describer, value: types.FunctionType) -> dict[str, Any]:
    part: dict[str, Any] = {"code": code_digest(value.__code__)}
    if value.__closure__:
        part["closure"] = dict(
            zip(value.__code__.co_freevars, [_cell(describe, each) for each in value.__closure__], strict=True)
        )
    if value.__defaults__:
        part["defaults"] = describe(value.__defaults__)
    if value.__kwdefaults__:
        part["keyword_defaults"] = describe(value.__kwdefaults__)
    if value.__dict__:  # attributes set by a decorator, such as the function that it wraps
        part["attributes"] = describe(dict(value.__dict__))
    if not _is_code_of_package(value) and (reached := _reached(describe, value.__code__, value.__globals__)):
        part["globals"] = reached
    return part


def _is_code_of_package(function: types.FunctionType) -> bool:
    """Whether a package has made this function: then its code belongs to the package, but its data do not."""
    path, module = function.__code__.co_filename, str(function.__module__)
    return is_installed_module(module) if path.startswith("<") else is_installed_file(path) or is_of_tilecore(module)


def _cell(describe: Describer, cell: types.CellType) -> Json:
    try:
        return describe(cell.cell_contents)
    except ValueError:
        return "empty"


def describe_class(describe: Describer, value: type) -> dict[str, Any]:
    """Describe a class by all that it defines, or by the version of its package."""
    name = f"{value.__module__}.{value.__qualname__}"
    if is_installed_object(value):
        return {"class": name, "version": release_of(value.__module__)}
    return describe.named("class", name, value, lambda: _class_part(describe, value))


def _class_part(describe: Describer, value: type) -> dict[str, Any]:
    attributes = {
        name: describe(each)
        for name, each in sorted(vars(value).items())
        if name not in _BOOKKEEPING and not name.startswith("__pydantic") and not isinstance(each, _DESCRIPTORS)
    }
    part = {"bases": [describe(base) for base in value.__bases__ if base is not object], "attributes": attributes}
    return part if type(value) is type else part | {"metaclass": describe(type(value))}


def describe_module(describe: Describer, value: types.ModuleType) -> dict[str, Any]:
    """Describe a whole module, if it is not known which parts of it are used."""
    path = _file(value)
    if is_installed_module(value.__name__):
        return {"module": value.__name__, "version": release_of(value.__name__)}
    if path is not None and not path.endswith(".py"):
        return _compiled_module(describe, value.__name__, value, path)
    content = {name: each for name, each in sorted(vars(value).items()) if not name.startswith("__")}
    return describe.named(
        "module", value.__name__, value, lambda: {name: describe(each) for name, each in content.items()}
    )


def _compiled_module(describe: Describer, name: str, found: object, path: str) -> dict[str, Any]:
    return describe.named("module", name, found, lambda: {"digest": digest_of_bytes(Path(path).read_bytes())})


def _reached(describe: Describer, code: types.CodeType, names: dict[str, Any]) -> dict[str, Any]:
    """Describe the objects that code finds under global names, and the modules that it imports."""
    reached: dict[str, Any] = {}
    for first, *rest in sorted(set(global_names(code))):
        if first not in names and hasattr(builtins, first):
            continue
        value, chain = names.get(first, _MISSING), [first]
        while rest and _is_namespace(value):
            chain.append(rest.pop(0))
            value = getattr(value, chain[-1], _MISSING)
        reached[".".join(chain)] = "nothing" if value is _MISSING else describe(value)
    for name in sorted(set(imported_modules(code, str(names.get("__package__") or "")))):
        if (described := _imported(describe, name)) is not None:
            reached[f"import {name}"] = described
    return reached


def _is_namespace(value: object) -> bool:
    """Whether only the attributes taken of an object count: for modules of the user's own, and a script's options."""
    if isinstance(value, types.ModuleType):
        return not is_installed_module(value.__name__)
    return type(value) in (argparse.Namespace, types.SimpleNamespace)


def _imported(describe: Describer, name: str) -> dict[str, str] | None:
    """Describe an imported module of the user's own by its code, loaded or not; None for other modules."""
    try:
        # The package is looked up first, because looking for a module inside it imports it.
        package = importlib.util.find_spec(name.partition(".")[0])
        if package is None or is_of_tilecore(name) or (package.origin and is_installed_file(package.origin)):
            return None
        spec = importlib.util.find_spec(name)
    except Exception:  # not a module but an attribute of one, or a module that cannot be imported
        return None
    if spec is None or spec.origin is None or is_installed_file(spec.origin):
        return None
    code = spec.loader.get_code(name) if hasattr(spec.loader, "get_code") else None  # type: ignore[union-attr]
    if code is None:
        return _compiled_module(describe, name, spec, spec.origin)
    inside = name if spec.submodule_search_locations else name.rpartition(".")[0]
    known = f"{name} (imported)"
    if known not in describe.parts:
        describe.parts[known] = {"code": code_digest(code)}
        inner = {each: _imported(describe, each) for each in sorted(set(imported_modules(code, inside)))}
        describe.parts[known]["imports"] = {each: found for each, found in inner.items() if found is not None}
    return {"module": known}


def _file(module: types.ModuleType) -> str | None:
    return getattr(module, "__file__", None)
