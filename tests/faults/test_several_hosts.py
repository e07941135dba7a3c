"""A cluster of several hosts: each has its own address and its own /dev/shm, and one is cut off in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.clusters import ROOT, Programs, programs
from tests.faults.harness import HANGS, places, wait_until
from tilecore import map_tiles, open_source

pytestmark = pytest.mark.slow

#: The network is that of benchmarks, which leads nowhere.
ADDRESS = "198.18.7.{}"

CALLER = """
import sys
from pathlib import Path
import numpy as np
from distributed import Client
from tilecore import map_tiles
from tests.faults.test_several_hosts import slowly

folder, scheduler = Path(sys.argv[1]), sys.argv[2]

def note(event):
    if type(event).__name__ == "TileDone":
        (folder / f"done-{event.tile.number}").touch()

with Client(scheduler_file=scheduler, set_as_default=False) as client:
    client.wait_for_workers(2, timeout=60)
    map_tiles(slowly, folder / "in.zarr", out=folder / "out.zarr", tile_shape=4, halo=1, executor=client,
              kwargs={"folder": str(folder)}, pass_tile=True, callbacks=[note], progress=False)
    print(len(client.scheduler_info()["workers"]), "workers at the end")
"""


def slowly(block: np.ndarray, tile: object, folder: str) -> np.ndarray:
    """Take a moment; on a host that is cut off, hold the tile until the run has ended, and give other voxels then."""
    time.sleep(0.05)
    host = os.environ["TEST_HOST"]
    if (Path(folder) / f"cut-{host}").exists():
        (Path(folder) / f"holds-{host}").touch()
        while not (Path(folder) / "ended").exists():
            time.sleep(0.05)
        return np.zeros_like(block)
    return np.sqrt(block)


class Network:
    """Hosts as network namespaces around a bridge, each with a mount namespace for its own /dev/shm."""

    def __init__(self, opened: ExitStack) -> None:
        self._name, self._opened = f"tc{os.getpid()}", opened
        self._add("switch")
        self._in("switch", "ip", "link", "add", "bridge", "type", "bridge")
        self._in("switch", "ip", "link", "set", "bridge", "up")

    def add_host(self, number: int) -> tuple[str, ...]:
        """Add a host, and return how commands are run on it."""
        host, switch = f"h{number}", f"{self._name}switch"
        self._add(host)
        port, own = f"{self._name}p{number}", f"{self._name}e{number}"
        _run("ip", "link", "add", port, "type", "veth", "peer", "name", own)
        _run("ip", "link", "set", port, "netns", switch)
        _run("ip", "link", "set", own, "netns", self._name + host)
        self._in("switch", "ip", "link", "set", port, "master", "bridge", "up")
        self._in(host, "ip", "addr", "add", f"{ADDRESS.format(number)}/24", "dev", own)
        self._in(host, "ip", "link", "set", own, "up")
        self._in(host, "ip", "link", "set", "lo", "up")
        shell = 'mount -t tmpfs none /dev/shm && exec "$@"'
        return (
            *("ip", "netns", "exec", self._name + host, "env", f"TEST_HOST={number}"),
            *("unshare", "--mount", "--propagation", "private", "sh", "-c", shell, "sh"),
        )

    def cut_off(self, number: int) -> None:
        """Pull a host's plug."""
        self._in("switch", "ip", "link", "set", f"{self._name}p{number}", "down")

    def _add(self, host: str) -> None:
        _run("ip", "netns", "add", self._name + host)
        self._opened.callback(_run, "ip", "netns", "delete", self._name + host)

    def _in(self, host: str, *command: str) -> None:
        _run("ip", "netns", "exec", self._name + host, *command)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def network() -> Iterator[Network]:
    with ExitStack() as opened:
        try:
            made = Network(opened)
            probe = subprocess.run([*made.add_host(9), "true"], capture_output=True, check=False)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"network namespaces are not permitted here: {error}")
        if probe.returncode:
            pytest.skip(f"mounts are not permitted here: {probe.stderr.decode()}")
        yield made


def test_a_host_that_is_cut_off_loses_nothing_and_spoils_nothing(network: Network, tmp_path: Path) -> None:
    """Another host joins; what the lost one writes after the end goes nowhere."""
    volume = np.random.default_rng(0).random((16, 16, 16))
    map_tiles(np.copy, volume, out=tmp_path / "in.zarr", tile_shape=8, executor="serial", progress=False)
    quick = {
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
        "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "15s",
    }
    with programs(quick) as started:
        caller = network.add_host(1)
        started.start_scheduler("--host", ADDRESS.format(1), prefix=caller)
        for number in (2, 3):
            _start_worker(started, network, number)
        script, log = tmp_path / "caller.py", tmp_path / "caller.log"
        script.write_text(CALLER)
        command = [*caller, sys.executable, str(script), str(tmp_path), str(started.scheduler_file)]
        environment = {**os.environ, **quick, "PYTHONPATH": str(ROOT)}
        with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment) as running:
            try:
                wait_until(lambda: len(list(tmp_path.glob("done-*"))) >= 6 or running.poll() is not None)
                assert running.poll() is None, log.read_text()
                (tmp_path / "cut-2").touch()
                wait_until((tmp_path / "holds-2").exists)
                network.cut_off(2)
                _start_worker(started, network, 4)
                assert running.wait(timeout=3 * HANGS) == 0, log.read_text()
            finally:
                running.kill()
        np.testing.assert_array_equal(open_source(tmp_path / "out.zarr")[...], np.sqrt(volume))
        (tmp_path / "ended").touch()
        time.sleep(1.0)  # the lost host ends its tile now, and finds no place for it
        np.testing.assert_array_equal(open_source(tmp_path / "out.zarr")[...], np.sqrt(volume))
        assert not places(tmp_path / "out.zarr"), "nothing of the run may come back"


def _start_worker(started: Programs, network: Network, number: int) -> None:
    started.start_worker("--host", ADDRESS.format(number), prefix=network.add_host(number))
