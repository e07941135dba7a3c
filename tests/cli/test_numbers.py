"""Tests of options of several numbers: commas or spaces between them, and nothing else is taken for one."""

from __future__ import annotations

import argparse
import re

import pytest

from tilecore.cli.main import SUBCOMMANDS, _parser
from tilecore.cli.parser import Numbers, Parser


@pytest.fixture
def parser() -> Parser:
    parser = Parser(prog="p")
    parser.add_argument("input", nargs="?")
    parser.add_argument("--halo", action=Numbers)
    parser.add_argument("--voxel-size-um", action=Numbers, kind=float, count=3)
    parser.add_argument("--retries", type=int)
    return parser


@pytest.mark.parametrize(
    "words",
    [
        "--halo 3 2 1 v.tif",
        "--halo 3,2,1 v.tif",
        "--halo=3,2,1 v.tif",
        "v.tif --halo 3 2,1",
        "--hal 3 2 1 v.tif",
        "--retries 2 --halo 3 2 1 -- v.tif",
        "--halo 3 2 1 --retries 5 v.tif",
    ],
)
def test_commas_and_spaces_are_alike(parser: Parser, words: str) -> None:
    parsed = parser.parse_args(words.split())
    assert (parsed.halo, parsed.input) == ((3, 2, 1), "v.tif")


def test_numbers_of_other_options_stay_apart(parser: Parser) -> None:
    parsed = parser.parse_args(["--voxel-size-um", "2", ".65", "6.5e-1", "--retries", "2", "7"])
    assert (parsed.voxel_size_um, parsed.retries, parsed.input) == ((2.0, 0.65, 0.65), 2, "7")


def test_a_file_with_a_number_in_its_name_is_no_number(parser: Parser) -> None:
    assert parser.parse_args(["--halo", "3", "3.tif"]).input == "3.tif"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--halo 3 1.5", "argument --halo: '3,1.5' must be whole numbers, such as 8 or 4,8,8"),
        ("--halo x", "argument --halo: 'x' must be whole numbers"),
        ("--halo 3,,1", "argument --halo: '3,,1' must be whole numbers"),
        ("--voxel-size-um 1 2", "argument --voxel-size-um: '1,2' must be 3 numbers"),
        ("--voxel-size-um 1;2;3", "argument --voxel-size-um: '1;2;3' must be numbers"),
        ("--halo", "argument --halo: expected one argument"),
    ],
)
def test_what_is_wrong_is_said(parser: Parser, words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser.parse_args(words.split())
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_every_option_of_several_numbers_is_of_this_kind(subcommand: str) -> None:
    """No option takes all words up to the next option, as the input may be among them."""
    commands = _parser([subcommand])
    parsers = [action.choices[subcommand] for action in commands._actions if isinstance(action.choices, dict)]
    greedy = [action for parser in parsers for action in parser._actions if action.nargs in ("+", "*")]
    assert [action.dest for action in greedy if action.option_strings] == []
    assert all(re.fullmatch(r"[^[\]()]+", str(action.metavar)) for action in parsers[0]._actions if _is_numbers(action))


def _is_numbers(action: argparse.Action) -> bool:
    return isinstance(action, Numbers)
