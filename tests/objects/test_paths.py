"""Paths of what lies in object stores."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import xarray

from tests.objects.server import SECRET
from tilecore import DatasetVariable, ParameterError, map_tiles
from tilecore.datasets.saving import save_variable
from tilecore.objects.paths import ObjectPath, output_path, path_of
from tilecore.objects.urls import is_url, without_secrets


@pytest.mark.parametrize("url", ["s3://bucket/a/b.zarr", "memory://b.zarr", "memory://", "https://host:80/b.zarr"])
def test_a_path_keeps_its_url(url: str) -> None:
    path = ObjectPath(url)
    assert str(path) == url
    assert path == pickle.loads(pickle.dumps(path))
    assert str(pickle.loads(pickle.dumps(path))) == url
    assert str(path / "c" / "0") == f"{url.rstrip('/')}{'//' if url.endswith('//') else '/'}c/0"
    assert path.resolve() is path


def test_names_and_parents() -> None:
    path = ObjectPath("s3://bucket/a/b.zarr")
    assert (path.name, path.suffix, str(path.parent)) == ("b.zarr", ".zarr", "s3://bucket/a")
    assert str(path.with_name("c.journal")) == "s3://bucket/a/c.journal"
    assert str(ObjectPath("memory://b.zarr").parent) == "memory://"
    assert hash(path) == hash(ObjectPath("s3://bucket/a/b.zarr"))


def test_texts_are_paths_of_files_or_urls(tmp_path: Path) -> None:
    assert isinstance(path_of("s3://bucket/a"), ObjectPath)
    assert path_of("a/b") == Path("a/b")
    assert path_of(f"file://{tmp_path}") == tmp_path
    assert output_path("a").is_absolute()
    assert not isinstance(output_path("a"), ObjectPath)
    with pytest.raises(ParameterError, match="credentials do not belong in a URL"):
        path_of(f"s3://me:{SECRET}@bucket/a")


def test_datasets_are_not_written_at_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL must not be taken for the name of a new folder."""
    monkeypatch.chdir(tmp_path)
    volume = np.zeros((2, 3, 4))
    with pytest.raises(ParameterError, match="folder='s3://bucket': datasets lie in folders on a disk"):
        map_tiles(np.negative, volume, out=DatasetVariable("s3://bucket", "x"))
    with pytest.raises(ParameterError, match="datasets lie in folders on a disk"):
        save_variable(xarray.DataArray(volume, name="x"), "s3://bucket/data")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["C:\\data\\v.zarr", "v.h5://a", "/a//b.zarr", "v.zarr:/a", "s3:/bucket", "a/b://c"])
def test_these_are_no_urls(name: str) -> None:
    assert not is_url(name)


def test_secrets_are_left_out() -> None:
    text = f"GET https://me:{SECRET}@host/a?key={SECRET} failed, and s3://bucket/a@b"
    assert without_secrets(text) == "GET https://host/a failed, and s3://bucket/a@b"


SLASH = f"{SECRET}/and-more"


@pytest.mark.parametrize(
    "url",
    [
        f"s3://key:{SLASH}@bucket/a",
        f"s3://key:p@{SLASH}@bucket/a",
        f"https://me:{SLASH}@host/a",
        f"abfs://account:{SECRET}@host/a",
        f"s3://{SECRET}@bucket/a",
        f"s3://bucket/a?versionId={SECRET}",
        f"memory://a?{SECRET}",
        f"az://container/a?sig={SECRET}",
    ],
)
def test_secrets_in_urls_are_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ParameterError) as caught:
        path_of(url)
    assert SECRET not in str(caught.value)
    assert "and-more" not in str(caught.value)


def test_a_path_that_has_lost_a_slash_shows_no_secret() -> None:
    with pytest.raises(ParameterError, match="drops a slash of a URL") as caught:
        path_of(Path(f"s3://key:{SECRET}@bucket/a"))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "abfs://container@account.dfs.core.windows.net/a",
        "abfss://container@account.dfs.core.windows.net/a",
        "s3://bucket/a@b",
        "s3://bucket/a:b@c",
        "s3://arn:aws:s3:us-west-2:123456789012:accesspoint/name/a@b",
        "https://host:8080/a@b",
    ],
)
def test_these_urls_hold_no_credentials(url: str) -> None:
    assert str(path_of(url)) == url
    assert without_secrets(f"{url} failed") == f"{url} failed"
