"""Instructions of Python code: what the code does, and which names it looks up.

Comments, docstrings and line numbers are not part of the instructions.
"""

from __future__ import annotations

import dis
import importlib.util
import json
import types
from collections.abc import Iterator
from typing import Any

from tilecore.arrays.content import digest_of_bytes

__all__ = ["code_digest", "global_names", "imported_modules"]

# Attributes that the body of a class or module stores about itself; they do not change what it does.
_NOTES = [["str", repr(name)] for name in ("__doc__", "__firstlineno__", "__static_attributes__")]
_LOADS_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_LOADS_ATTRIBUTE = frozenset({"LOAD_ATTR", "LOAD_METHOD"})


def code_digest(code: types.CodeType) -> str:
    """Digest of what a piece of code does."""
    return digest_of_bytes(json.dumps(_instructions(code)).encode())


def _instructions(code: types.CodeType) -> list[Any]:
    """Instructions of code as JSON values, without line numbers and docstrings."""
    signature = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags]
    steps = [[each.opname, _operand(each.argval)] for each in dis.get_instructions(code)]
    for place in [number for number, (name, operand) in enumerate(steps) if name == "STORE_NAME" and operand in _NOTES]:
        steps[place - 1] = ["a note"]
    protected = code.co_exceptiontable.hex()
    return [signature, protected, list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]), steps]


def _operand(value: object) -> list[Any]:
    if isinstance(value, types.CodeType):
        return _instructions(value)
    if isinstance(value, (tuple, frozenset)):
        inner = [_operand(each) for each in value]
        return [type(value).__name__, *(inner if isinstance(value, tuple) else sorted(inner, key=repr))]
    return [type(value).__name__, repr(value)]


def global_names(code: types.CodeType) -> Iterator[tuple[str, ...]]:
    """Names that code looks up outside of itself, each with the attributes that it takes of it directly."""
    chain: list[str] = []
    for instruction in dis.get_instructions(code):
        if instruction.opname == "EXTENDED_ARG":
            continue
        if chain and instruction.opname in _LOADS_ATTRIBUTE:
            chain.append(str(instruction.argval))
            continue
        if chain:
            yield tuple(chain)
        chain = [str(instruction.argval)] if instruction.opname in _LOADS_GLOBAL else []
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from global_names(constant)


def _resolved(name: str, package: str) -> str:
    try:
        return importlib.util.resolve_name(name, package)
    except ImportError:  # the import leads out of the package, so it fails when it runs, too
        return name


def imported_modules(code: types.CodeType, package: str) -> Iterator[str]:
    """Full names of the modules that code imports when it runs."""
    level, name = 0, ""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_CONST", "LOAD_SMALL_INT") and type(instruction.argval) is int:
            level = instruction.argval
        elif instruction.opname == "IMPORT_NAME":
            name = str(instruction.argval)
            name = _resolved("." * level + name, package) if level else name
            yield name
        elif instruction.opname == "IMPORT_FROM":  # possibly a module in a package
            yield f"{name}.{instruction.argval}"
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from imported_modules(constant, package)
