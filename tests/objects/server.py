"""A real S3 server on loopback, moto's, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator

import pytest

from tilecore.testing.patience import HANGS

__all__ = ["SECRET", "free_port", "new_bucket", "serving", "use_endpoint"]

SECRET = "a-secret-that-must-not-be-seen"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(port: int | None = None) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start the server; yield its URL and its process, which is killed at the end."""
    port = free_port() if port is None else port
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + HANGS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended with {process.returncode}"
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/data.json"):
            return
        time.sleep(0.05)
    raise AssertionError("the server does not answer")


def new_bucket(endpoint: str, name: str = "") -> str:
    """Make a bucket, by default of a new name; return its URL."""
    name = name or f"bucket-{uuid.uuid4().hex[:12]}"
    with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", method="PUT")):
        return f"s3://{name}"


def use_endpoint(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let s3:// mean this server, with credentials from the environment."""
    import fsspec.config

    monkeypatch.setattr(fsspec.config, "conf", {}, raising=True)
    for name in [name for name in os.environ if name.startswith(("AWS_", "FSSPEC_"))]:
        monkeypatch.delenv(name)
    variables = {
        "FSSPEC_S3_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
