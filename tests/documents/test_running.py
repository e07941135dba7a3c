"""The runner of pages fails where a page shows what is not so, and where it shows what nobody can run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents.pages import Command, PageError, line_of, steps
from tests.documents.running import environment_with_tilecore, run_page

TRUE = """\
A page
======

One state from top to bottom:

>>> from pathlib import Path
>>> Path("made.txt").write_text("some words")
10

* Files of the examples are there for the commands::

    >>> n_words = 2

  and the commands' files for the examples.

.. code-block:: console

    $ cat made.txt; echo; \\
          echo "more words"
    some ...
    more words
    $ echo left > left.txt

>>> Path("left.txt").read_text(), n_words
('left\\n', 2)

.. code-block:: text

    $ this is run by nobody
    >>> nor is this
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.chdir(tmp_path)
    commands = tmp_path / "commands"
    commands.mkdir()
    environment = environment_with_tilecore(commands)
    return lambda text: run_page(text, "page", environment)


def test_a_true_page_is_run_from_top_to_bottom(run: object) -> None:
    assert [line_of(step) for step in steps(TRUE)] == [6, 7, 12, 18, 22, 24]
    assert run(TRUE) == 6


def test_commands_go_on_after_a_backslash() -> None:
    commands = [step for step in steps(TRUE) if isinstance(step, Command)]
    assert [command.command for command in commands] == [
        'cat made.txt; echo; echo "more words"',
        "echo left > left.txt",
    ]
    assert [command.want for command in commands] == ["some ...\nmore words\n", None]


WRONG = {
    "output of Python": (">>> 1 + 1\n3\n", "line 1: 1 + 1\nthe page shows:\n3\n\nit gives:\n2"),
    "output that is not shown": (">>> 1 + 1\n", "it gives:\n2"),
    "output of a command": (".. code-block:: console\n\n    $ echo one\n    two\n", "shows:\ntwo\n\nit gives:\none"),
    "no output of a command": (".. code-block:: console\n\n    $ true\n    two\n", "shows:\ntwo"),
    "exit code": (".. code-block:: console\n\n    $ echo why; exit 3\n    why\n", "exit code 3: echo why; exit 3\nwhy"),
    "an error": ("Text\n\n>>> {}['a']\n", "line 3: {}['a']"),
    "another error": (">>> {}['a']\nTraceback (most recent call last):\n    ...\nKeyError: 'b'\n", "KeyError: 'a'"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_what_is_not_so_fails(run: object, text: str, message: str) -> None:
    with pytest.raises(PageError, match=re.escape(message)):
        run(text)


UNTESTED = {
    "no prompt": "Text::\n\n    x = 1\n",
    "a paragraph without a prompt": "Text::\n\n    >>> x = 1\n\n    y = 2\n",
    "in a list": "* Text::\n\n    x = 1\n\n  More of the point.\n",
    "an empty block": "Text::\n\nMore text.\n",
    "python": ".. code-block:: python\n\n    x = 1\n",
    "python with a prompt": ".. code-block:: pycon\n\n    >>> x = 1\n",
    "no language": ".. code-block::\n\n    x = 1\n",
    "another directive": ".. code:: text\n\n    x = 1\n",
    "a file": ".. literalinclude:: figures/one.py\n",
    "a console without a prompt": ".. code-block:: console\n\n    tilecore info stack.tif\n",
}


@pytest.mark.parametrize("text", UNTESTED.values(), ids=UNTESTED)
def test_a_block_that_is_not_run_fails(text: str) -> None:
    with pytest.raises(PageError, match=r"line \d+: "):
        steps(text)


def test_tilecore_on_the_path_is_the_one_of_the_tree(run: object) -> None:
    from tilecore import __version__

    assert run(f".. code-block:: console\n\n    $ tilecore --version\n    tilecore {__version__}\n") == 1
