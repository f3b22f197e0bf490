"""A payload gives back the batch it was made of, or is refused."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.wal.record import Gathering, MalformedBatch, decode, head_octets

ids = st.integers(0, 2**64 - 1)
octets = st.binary(max_size=20)
routes = st.tuples(octets, st.lists(ids, max_size=3).map(tuple))
messages = st.tuples(routes, ids, ids, ids, octets)
counts = st.tuples(ids, ids, st.integers(0, 2**32 - 1))
settles = st.tuples(ids, st.lists(ids, max_size=4))


@st.composite
def gatherings(draw: st.DrawFn) -> tuple[Gathering, list, list, list]:
    """A batch, with the messages, counts and settles that were put in."""
    batch = Gathering()
    batch.operations = draw(st.lists(octets, max_size=3))
    published = draw(st.lists(messages, max_size=5))
    for route, message_id, published_ms, detail, content in published:
        batch.publish_route.append(batch.routes.setdefault(route, len(batch.routes)))
        batch.publish_id.append(message_id)
        batch.publish_ms.append(published_ms)
        batch.publish_detail.append(detail)
        batch.contents.append(content)
    counted = draw(st.lists(counts, max_size=3))
    for queue_id, message_id, times in counted:
        batch.count_queue.append(queue_id)
        batch.count_id.append(message_id)
        batch.count_times.append(times)
    settled = draw(st.lists(settles, max_size=3))
    for queue_id, message_ids in settled:
        batch.settle_queue.append(queue_id)
        batch.settle_length.append(len(message_ids))
        batch.settle_id.extend(message_ids)
    return batch, published, counted, settled


@given(gatherings())
def test_round_trip(made: tuple[Gathering, list, list, list]) -> None:
    """Decoding gives what was gathered, in order."""
    gathered, published, counted, settled = made
    payload = gathered.encode()
    batch = decode(7, False, payload, len(payload))
    assert (batch.number, batch.is_snapshot) == (7, False)
    assert batch.operations == gathered.operations
    rows = [batch.routes[row] for row in batch.publish_route]
    contents = batch.contents(payload)
    columns = rows, batch.publish_id, batch.publish_ms, batch.publish_detail, contents
    assert list(zip(*columns, strict=True)) == published
    assert batch.counts == counted
    assert [(queue_id, list(message_ids)) for queue_id, message_ids in batch.settles] == settled
    references = sum(len(queue_ids) for (_, queue_ids), *_ in published)
    assert gathered.references() == batch.references() == references
    assert gathered.published_octets() == batch.published_octets()


@given(gatherings(), st.data())
def test_any_octets_are_a_batch_or_refused(made: tuple, data: st.DataObject) -> None:
    """A cut or altered payload is another batch or ``MalformedBatch``, nothing else."""
    payload = bytearray(made[0].encode())
    del payload[data.draw(st.integers(0, len(payload))) :]
    for at in data.draw(st.lists(st.integers(0, max(0, len(payload) - 1)), max_size=3)):
        if payload:
            payload[at] = data.draw(st.integers(0, 255))
    try:
        batch = decode(1, False, bytes(payload), len(payload))
    except MalformedBatch:
        return
    held = sum(batch.content_length) + sum(map(len, batch.operations))
    assert held <= len(payload)


@given(gatherings())
def test_every_prefix_is_refused(made: tuple) -> None:
    """A payload knows its end: no part of it is a batch."""
    payload = made[0].encode()
    for length in range(len(payload)):
        with pytest.raises(MalformedBatch):
            decode(1, False, payload[:length], length)


def test_counts_are_checked_before_memory_is_taken() -> None:
    """A few octets that claim billions of records cost nothing."""
    with pytest.raises(MalformedBatch):
        decode(1, False, b"\xff" * 28, 28)


def test_a_message_needs_a_route() -> None:
    """A row outside the table is refused."""
    batch = Gathering()
    batch.publish_route, batch.publish_id = [0], [1]
    batch.publish_ms, batch.publish_detail = [1], [1]
    batch.contents = [b""]
    with pytest.raises(MalformedBatch, match="route"):
        decode(1, False, batch.encode(), len(batch.encode()))


def test_big_endian_machines_write_the_same_octets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns are little endian; a machine of the other kind swaps on the way out and in."""
    monkeypatch.setattr("broker.wal.record._BIG_ENDIAN", True)
    swapped = array("Q", [1])
    swapped.byteswap()
    batch = Gathering()
    batch.settle_queue, batch.settle_length, batch.settle_id = [5], [1], array("Q", [1])
    assert batch.encode().endswith(swapped.tobytes())


def test_only_records_make_a_batch() -> None:
    """A route that no message used is nothing to write; each kind of record is."""
    batch = Gathering()
    assert not batch
    batch.routes[b"", (1,)] = 0
    assert not batch
    for column in ("operations", "publish_id", "count_id", "settle_id"):
        batch = Gathering()
        getattr(batch, column).append(1)
        assert batch, column


@given(gatherings())
def test_a_head_is_enough(made: tuple) -> None:
    """The head alone decodes to the same batch, and its length can be told from its columns."""
    gathered = made[0]
    payload = gathered.encode()
    assert payload.startswith(gathered.head())
    assert head_octets(payload) == len(gathered.head())
    whole = decode(1, False, payload, len(payload))
    assert decode(1, False, gathered.head(), len(payload)) == whole


@given(gatherings())
def test_what_gathers_can_be_read(made: tuple) -> None:
    """A gathering batch gives back the messages it holds, by id; of equal ids the last."""
    gathered, published, _, _ = made
    expected = {
        message_id: (route[0], published_ms, detail, content)
        for route, message_id, published_ms, detail, content in published
    }
    assert gathered.read(list(expected)) == list(expected.values())
