"""A cluster of dask that tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from distributed import Client

from tests.clusters import cluster_of


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Client of two workers with a thread each."""
    with cluster_of(2) as opened:
        yield opened
