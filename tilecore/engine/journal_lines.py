"""Lines of a journal: JSON with a checksum, so that a damaged one is noticed."""

from __future__ import annotations

import json
import zlib
from typing import Any

__all__ = ["SIGNATURE", "line_of", "parse_line"]

#: How a journal begins.
SIGNATURE = b'{"tilecore_journal":'


def line_of(content: dict[str, Any]) -> bytes:
    """Format a line of JSON that ends with a checksum of the text before it."""
    text = json.dumps(content, separators=(",", ":"))
    return f'{text[:-1]},"crc":{zlib.crc32(text[:-1].encode())}}}\n'.encode()


def parse_line(line: bytes) -> dict[str, Any] | None:
    """The content of a line; None if it is damaged."""
    text, comma, rest = line.rpartition(b',"crc":')
    if not comma or not rest.endswith(b"}") or not rest[:-1].isdigit() or zlib.crc32(text) != int(rest[:-1]):
        return None
    content: dict[str, Any] = json.loads(text + b"}")
    return content
