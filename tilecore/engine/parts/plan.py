"""Plan of a run in parts: what the process that began first has decided for all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from tilecore.engine.journal import header_of, other_run
from tilecore.engine.journal_lines import line_of, parse_line
from tilecore.engine.journal_values import decode, encode
from tilecore.engine.parts.run_part import RunPart
from tilecore.formats.recorded import Recorded
from tilecore.formats.sink import SinkSpec
from tilecore.geometry.tiles import TileGrid
from tilecore.output_file import new_token

__all__ = ["SIGNATURE", "Plan", "described"]

#: First bytes of a plan's file.
SIGNATURE = b'{"tilecore_plan":'

# Version of the file's format; other versions are refused.
_FORMAT = 4


@dataclass(frozen=True)
class Plan:
    """What all parts of a run have in common.

    Attributes
    ----------
    header : dict
        As in the first line of a journal: the tiles, the tokens of the outputs, and the run's fingerprint.
    asked : list of (int or None)
        Length of a tile along each axis, as the caller gave it.
    part : RunPart
        The part that made the plan: it tells how many there are, and who finishes the run.
    sink : SinkSpec or None
        The output file; None if results are kept in the journals.
    token : str
        Random token, which tells it from any other plan.
    """

    header: dict[str, Any]
    asked: list[int | None]
    part: RunPart
    sink: SinkSpec | None
    token: str

    @classmethod
    def of(
        cls,
        grid: TileGrid,
        tokens: Sequence[str | None],
        run: dict[str, Any],
        asked: Sequence[int | None],
        part: RunPart,
        sink: SinkSpec | None,
    ) -> Self:
        """Build the plan of a run from its tiles and its fingerprint."""
        return cls(json.loads(json.dumps(header_of(grid, tokens, run))), list(asked), part, sink, new_token())

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a plan; None if the file is not one of this version of tilecore, or is damaged."""
        content = parse_line(path.read_bytes().rstrip(b"\n"))
        if content is None or content.get("tilecore_plan") != _FORMAT:
            return None
        part, spec = RunPart(**decode(content["part"])), content["sink"]
        sink = None if spec is None else _spec(path, decode(spec))
        return cls(content["header"], content["asked"], part, sink, content["token"])

    def line(self) -> bytes:
        """The plan as the text of a file."""
        part = {each.name: getattr(self.part, each.name) for each in fields(self.part)}
        sink = None if self.sink is None else {each.name: getattr(self.sink, each.name) for each in fields(self.sink)}
        if sink is not None:
            sink |= {"path": str(sink["path"]), "recorded": sink["recorded"].attributes}
        content = {"header": self.header, "asked": self.asked, "part": encode(part), "sink": encode(sink)}
        return line_of({"tilecore_plan": _FORMAT, "token": self.token} | content)

    @property
    def grid(self) -> TileGrid:
        """The tiles of the run."""
        run, tiles = self.header["run"], self.header["tiles"]
        halo = [tuple(pair) for pair in run["halo"]]
        return TileGrid(run["shape"], tiles["tile_shape"], halo, ragged=tiles["ragged"])

    @property
    def tokens(self) -> list[str | None]:
        """Token of each output."""
        tokens: list[str | None] = self.header["outputs"]
        return tokens

    @property
    def run(self) -> dict[str, Any]:
        """Fingerprint of the run, with the tile shape that was asked for, and what is made of the results."""
        return described(self.part, self.header["run"], self.asked)

    def differences(self, part: RunPart, run: Mapping[str, Any], asked: Sequence[int | None]) -> str:
        """Say how the run of a part differs from this one; empty text if it belongs to it."""
        if part.count != self.part.count:
            return f"it has {self.part.count} parts, not {part.count}"
        mine, other = self.part, part
        facts = {"facts": encode(dict(mine.facts))}, {"facts": encode(dict(other.facts))}
        return other_run(self.header | {"run": self.header["run"] | facts[0]}, {**run, **facts[1]}, asked)


def described(part: RunPart, run: Mapping[str, Any], asked: Sequence[int | None]) -> dict[str, Any]:
    """What tells a finished run from others, whichever part tells it; without an application, as for a whole run."""
    facts = {"facts": encode(dict(part.facts))} if part.application else {}
    return {**run, "tile_shape": list(asked), **facts}


def _spec(plan: Path, given: dict[str, Any]) -> SinkSpec:
    """The description of the output, which lies beside the plan's folder, wherever that has been moved."""
    n_channels = len(given["recorded"].get("gains_uv", ())) or None
    recorded = Recorded.of(given["recorded"], n_channels)
    return replace(SinkSpec(**given | {"recorded": recorded}), path=plan.parent.with_name(Path(given["path"]).name))
