"""Messages that wait for a time of their own, in memory or not, beside a sorted list."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core import waiting
from broker.core.message import Message
from broker.core.paging import Paging
from broker.core.waiting import NEVER_MS, Waiting
from tests.core.doubles import make_queue, make_vhost
from tests.core.keeping import KeepingLog, KeepingScratch
from tests.frames import message as framed
from tests.pages import tiny_pages


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three messages leave memory at a time, and what is empty is swept at once."""
    monkeypatch.setattr(waiting, "SWEEP_MIN", 1)
    with tiny_pages():
        yield


class Scene:
    """Waiting messages of a queue, and a list of (due, id) beside them."""

    def __init__(self, *, durable: bool = True) -> None:
        self.log = KeepingLog()
        vhost = make_vhost(self.log)
        self.broker = vhost.broker
        self.broker.scratch = self.scratch = KeepingScratch()
        self.queue = make_queue(vhost, durable=durable)
        self.waiting = Waiting()
        self.paging = Paging(self.queue)
        self.listed: list[tuple[int, int]] = []

    def add(self, due_ms: int, *, persistent: bool = True) -> None:
        """A message begins to wait."""
        id_ = self.broker.next_message_id
        self.broker.next_message_id += 1
        content = framed(1, b"%d" % id_)
        batch = 0
        if persistent:
            batch = self.log.gathering
            row = self.log.route(b"\x00\x01q", (self.queue.id,) if self.queue.durable else ())
            self.log.publish(row, id_, 5, 1, content)
        message = Message(id_, b"\x00\x01q", content, 1, 5, -1, 0, batch)
        self.waiting.add(due_ms, message)
        self.listed.append((due_ms, id_))

    def page_out(self) -> None:
        """Let leave memory what can."""
        self.log.commit()
        while self.waiting.page_out(0, self.paging):
            pass

    def take_due(self, now_ms: int, count: int) -> None:
        """Take what is due, and compare."""
        due = sorted(each for each in self.listed if each[0] <= now_ms)[:count]
        taken = self.waiting.take_due(now_ms, count, self.paging)
        self._gone(taken, due)

    def remove(self, ids: set[int]) -> None:
        """Take these, and compare."""
        chosen = [each for each in self.listed if each[1] in ids]
        taken = self.waiting.remove(ids, self.paging)
        self._gone(sorted(taken, key=lambda message: message.id), chosen)

    def _gone(self, taken: list[Message], expected: list[tuple[int, int]]) -> None:
        assert [message.id for message in taken] == [id_ for _, id_ in expected]
        for message in taken:
            assert message.content == framed(1, b"%d" % message.id)
        self.listed = [each for each in self.listed if each not in expected]
        self.queue.forget(taken)

    def check(self) -> None:
        """The same wait, for the same times."""
        found = self.waiting
        listed = [(due, each.id) for due, each in found.listed(self.paging, 0, 1000)]
        assert listed == sorted(self.listed)
        assert len(found) == len(self.listed)
        assert found.next_due_ms == min(self.listed, default=(NEVER_MS, 0))[0]
        count, size_bytes = found.resident
        assert count == size_bytes == len(list(found))
        paged = [id_ for page in found.paged() for _, ids in page.by_place() for id_ in ids]
        assert sorted(paged + [each.id for each in found]) == sorted(i for _, i in self.listed)

    def purge(self) -> None:
        """Everything ends; nothing is kept for it."""
        pages = self.waiting.take_pages()
        self.queue.forget(self.waiting.clear())
        for page in pages:
            self.paging.forget(page)
        self.listed.clear()
        self.check()
        assert not self.scratch.frames
        assert not +self.log.references


times = st.integers(0, 30)
steps = st.one_of(
    st.tuples(st.just("add"), st.lists(st.tuples(times, st.booleans()), min_size=1, max_size=6)),
    st.tuples(st.just("add"), st.lists(st.tuples(times, st.booleans()), min_size=1, max_size=6)),
    st.tuples(st.just("page_out"), st.none()),
    st.tuples(st.just("take_due"), st.tuples(times, st.integers(1, 5))),
    st.tuples(st.just("remove"), st.sets(st.integers(0, 40), max_size=4)),
)


@settings(max_examples=300)
@given(st.lists(steps, min_size=5, max_size=30), st.booleans())
def test_waiting_is_a_sorted_list(program: list[tuple[str, Any]], durable: bool) -> None:
    """What is due comes in order, wherever it is; what ends is kept nowhere."""
    scene = Scene(durable=durable)
    for what, which in program:
        if what == "add":
            for due_ms, persistent in which:
                scene.add(due_ms, persistent=persistent)
        elif what == "page_out":
            scene.page_out()
        elif what == "take_due":
            scene.take_due(*which)
        else:
            scene.remove(which)
        scene.check()
    scene.purge()


def test_messages_of_one_frame_may_end_one_by_one() -> None:
    """Scratch keeps a frame for as long as one of its messages waits, whatever is between them."""
    scene = Scene()
    for due_ms, persistent in ((1, False), (2, True), (3, False), (4, True)):
        scene.add(due_ms, persistent=persistent)
    scene.page_out()
    scene.take_due(1, 9)
    assert len(scene.scratch.frames) == 1
    scene.take_due(3, 9)
    assert not scene.scratch.frames
    scene.check()


def test_copies_are_read_where_they_are() -> None:
    """After copying forward, messages that wait are read from their new batch."""
    scene = Scene()
    for due_ms in (1, 2, 3):
        scene.add(due_ms)
    scene.page_out()
    scene.take_due(1, 1)
    (page,) = scene.waiting.paged()
    ids = [id_ for _, ids in page.by_place() for id_ in ids]
    for id_ in ids:
        row = scene.log.route(b"", (scene.queue.id,))
        scene.log.publish(row, id_, 5, 1, framed(1, b"%d" % id_))
    scene.log.release([1] * len(ids))
    page.moved(1, scene.log.gathering)
    scene.log.commit()
    scene.check()
    scene.take_due(9, 9)
    assert not +scene.log.references


def test_a_full_scratch_leaves_messages_waiting() -> None:
    """If they cannot leave memory nothing has changed, and they go the next time."""
    scene = Scene(durable=False)
    for due_ms in (3, 1, 2):
        scene.add(due_ms)
    scene.scratch.full = True
    with pytest.raises(OSError, match="no space left"):
        scene.page_out()
    scene.check()
    assert scene.waiting.resident == (3, 3)
    scene.scratch.full = False
    scene.page_out()
    assert scene.waiting.resident == (0, 0)
    scene.check()
    scene.purge()
