"""Claims: one process holds a note at a time, whatever the store can do, and whatever fails."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

import pytest

from tilecore import ObjectStoreError, create_sink, open_source
from tilecore.objects import claims
from tilecore.objects.claims import Claim
from tilecore.objects.paths import ObjectPath, unfinished
from tilecore.objects.places import ObjectPlace, remove_left
from tilecore.objects.store import ObjectStore


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_LONGEST_PAUSE", 0.01)


def notes(bucket: str) -> list[str]:
    return ObjectStore(f"{bucket}/claim").names()


def before_put(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> None:
    """Do something just before the next object is written."""
    plain = ObjectStore.put

    def put(store: ObjectStore, key: str, parts: list[bytes]) -> None:
        monkeypatch.setattr(ObjectStore, "put", plain)
        work()
        plain(store, key, parts)

    monkeypatch.setattr(ObjectStore, "put", put)


def test_one_holds_a_claim(bucket: str) -> None:
    one, other = Claim(f"{bucket}/claim"), Claim(f"{bucket}/claim")
    one.take()
    with pytest.raises(BlockingIOError, match="in use by process .*remove s3://.*/claim/[0-9a-f]+"):
        other.take()
    assert one.is_held
    other.let_go()
    assert one.is_held, "who does not hold it cannot let it go"
    one.let_go()
    assert other.is_left
    other.take()
    assert other.took_over
    other.remove()
    assert notes(bucket) == []


def test_who_ends_removes_no_note_of_a_process_that_may_run(bucket: str) -> None:
    claim = Claim(f"{bucket}/claim")
    claim.take()
    ObjectStore(f"{bucket}/claim").put("other", [b'{"host": "elsewhere", "boot": "1", "pids": "1", "pid": "1"}'])
    claim.remove()
    assert notes(bucket) == ["other"]


def test_of_two_that_claim_at_once_one_holds(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second begins and ends while the first has seen no note, and has not yet written its own."""
    one, other = Claim(f"{bucket}/claim"), Claim(f"{bucket}/claim")
    before_put(monkeypatch, other.take)
    with pytest.raises(BlockingIOError):
        one.take()
    assert len(notes(bucket)) == 1
    other.remove()


def test_of_two_that_take_over_at_once_one_holds(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    left, one, other = (Claim(f"{bucket}/claim") for _ in range(3))
    left.take()
    left.let_go()
    before_put(monkeypatch, other.take)
    with pytest.raises(BlockingIOError):
        one.take()
    assert other.took_over
    assert not one.took_over
    other.remove()


def test_a_claim_that_is_given_back_meanwhile_is_taken(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other, third = (Claim(f"{bucket}/claim") for _ in range(3))
    third.take()
    with pytest.raises(BlockingIOError):
        one.take()
    third.remove()
    before_put(monkeypatch, lambda: (other.take(), other.remove()))
    one.take()
    assert one.is_held
    one.remove()


def test_never_two_hold_it(bucket: str) -> None:
    holders: list[int] = []
    n_held, wrong, start = [0] * 4, [], threading.Barrier(4)

    def claim(number: int) -> None:
        start.wait()
        for _ in range(8):
            mine = Claim(f"{bucket}/claim")
            try:
                mine.take()
            except BlockingIOError:
                continue
            holders.append(number)
            wrong.extend(holders if len(holders) > 1 else [])
            n_held[number] += 1
            holders.remove(number)
            mine.let_go()

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sum(n_held) > 0


def test_a_claim_whose_answer_was_lost_does_not_block_its_process(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = ObjectStore.put

    def lose(store: ObjectStore, key: str, parts: list[bytes]) -> None:
        plain(store, key, parts)
        raise ObjectStoreError("no answer")

    def fail(*_: object) -> None:
        raise ObjectStoreError("no answer")

    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "put", lose)
        patched.setattr(ObjectStore, "remove", fail)
        with pytest.raises(ObjectStoreError):
            Claim(f"{bucket}/claim").take()
    assert len(notes(bucket)) == 1
    claim = Claim(f"{bucket}/claim")
    claim.take()
    claim.remove()
    assert notes(bucket) == []


def test_an_error_after_a_claim_gives_it_back(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a new place, of the name, and of an output that is complete already."""
    url = f"{bucket}/out.zarr"

    def fail(*_: object) -> list[str]:
        raise ObjectStoreError("no answer")

    sink = create_sink(url, (4, 4, 4), "u2")
    sink[...] = 1
    sink.release()
    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "folders", fail)
        with pytest.raises(ObjectStoreError):
            sink.create("u2", alone=True)
    sink.create("u2", alone=True)
    sink[...] = 1
    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "all_keys", fail)
        with pytest.raises(ObjectStoreError):
            sink.commit()
    assert not unfinished(ObjectPath(url)).is_held
    sink.commit()
    assert (open_source(url)[...] == 1).all()
    assert all(key.startswith("out.zarr/") for key in ObjectStore(bucket).all_keys())


def test_what_a_run_takes_over_is_not_removed_by_another(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One has found that nobody uses it, and the other continues it before it is removed."""
    path = ObjectPath(f"{bucket}/out.zarr")
    sink = create_sink(str(path), (4, 4, 4), "u2", chunks=2)
    sink[...] = 1
    token = sink.token
    sink.release()
    resumed: list[ObjectPlace] = []
    before_put(monkeypatch, lambda: resumed.append(ObjectPlace.resume(path, token)))
    remove_left(path)
    assert sink.can_continue(token)
    assert len(ObjectStore(str(resumed[0].data)).all_keys()) == 9
    resumed[0].close()
    remove_left(path)
    assert ObjectStore(bucket).all_keys() == []


def test_a_claim_that_is_forgotten_does_not_block_its_process(bucket: str) -> None:
    """As with files, whose locks end with what holds them."""
    Claim(f"{bucket}/claim").take()
    gc.collect()
    claim = Claim(f"{bucket}/claim")
    claim.take()
    assert claim.took_over
    claim.remove()
