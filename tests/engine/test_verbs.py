"""The run's options in the signatures of verbs, and hints for keyword arguments that they do not have."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

import tilecore
from tilecore import ParameterTypeError, collect_tiles, detect_blobs, iter_tiles, map_tiles, reduce_tiles
from tilecore.engine.options import Options, RunOptions

VERBS = [map_tiles, collect_tiles, iter_tiles, reduce_tiles, detect_blobs]
VOLUME = np.zeros((2, 2, 2))


def blurred(block: np.ndarray, sigma: float) -> np.ndarray:
    return block * sigma


def calls(verb: Callable[..., Any], function: Callable[..., Any], **named: Any) -> None:
    if verb is reduce_tiles:
        verb(function, max, VOLUME, **named)
    elif verb is detect_blobs:
        verb(VOLUME, **named)
    else:
        verb(function, VOLUME, **named)


@pytest.mark.parametrize("verb", VERBS)
def test_signature_has_every_option_of_a_run_with_its_default(verb: Callable[..., Any]) -> None:
    parameters = inspect.signature(verb).parameters
    assert set(RunOptions.__annotations__) == {each.name for each in fields(Options)}
    for each in fields(Options):
        assert parameters[each.name].default == each.default
        assert parameters[each.name].kind is inspect.Parameter.KEYWORD_ONLY
    assert not any(each.kind is each.VAR_KEYWORD for each in parameters.values())


@pytest.mark.parametrize("verb", VERBS)
def test_help_describes_every_option(verb: Callable[..., Any]) -> None:
    text = inspect.getdoc(verb)
    assert text is not None
    assert text.index("Other Parameters") < text.index("Raises")
    assert all(f"\n{name} : " in text for name in RunOptions.__annotations__)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("unknown", "meant"),
    [("depth", "halo"), ("chunks", "tile_shape"), ("n_jobs", "workers"), ("wrokers", "workers"), ("resum", "resume")],
)
def test_other_names_of_a_parameter_get_a_hint(verb: Callable[..., Any], unknown: str, meant: str) -> None:
    with pytest.raises(ParameterTypeError, match=rf"^{verb.__name__} .*{unknown!r}; did you mean {meant}\?$"):
        calls(verb, blurred, **{unknown: 1})


@pytest.mark.parametrize("verb", [map_tiles, collect_tiles, iter_tiles, reduce_tiles])
def test_argument_of_the_function_goes_into_kwargs(verb: Callable[..., Any]) -> None:
    with pytest.raises(ParameterTypeError, match=r"parameter of blurred: write kwargs=\{'sigma': \.\.\.\}$"):
        calls(verb, blurred, sigma=2)


def test_unlike_anything_lists_what_there_is() -> None:
    with pytest.raises(ParameterTypeError, match="'zzz'; it has .*halo.*workers.*kwargs="):
        calls(map_tiles, np.sqrt, zzz=1)
    with pytest.raises(ParameterTypeError, match="'zzz'; it has .*min_sigma") as caught:
        calls(detect_blobs, np.sqrt, zzz=1)
    assert "kwargs" not in str(caught.value)


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_pickle_by_name(verb: Callable[..., Any]) -> None:
    assert pickle.loads(pickle.dumps(verb)) is verb


def test_what_users_name_in_types_is_to_be_had_from_the_package() -> None:
    names = "RunOptions Executor SerialExecutor ThreadExecutor ProcessExecutor FileSource FileSink Reader TileDone"
    assert all(hasattr(tilecore, name) for name in names.split())
