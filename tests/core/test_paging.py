"""Queues whose messages are not all in memory, beside plain lists."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core import browsing, retention
from broker.core.message import Message
from broker.core.paging import LOOK_AGAIN_MS, NEVER, Paging
from broker.core.queue import Queue
from tests.core.doubles import (
    fill,
    make_queue,
    make_vhost,
    pass_time,
    publish,
    settle_down,
    subscribe,
)
from tests.core.keeping import KeepingLog, KeepingScratch
from tests.pages import tiny_pages

SECOND_MS = 1000


@pytest.fixture(autouse=True)
def small_pages() -> Iterator[None]:
    """Three messages in a page, one in memory."""
    with tiny_pages():
        yield


@dataclass
class Twin:
    """What a list knows of a message."""

    id: int
    level: int
    deadline_ms: int
    size: int


class Scene:
    """A queue that is paged out, its twin, and a queue for its dead letters."""

    def __init__(self, *, durable: bool = True, **arguments: Any) -> None:
        self.log = KeepingLog()
        self.vhost = make_vhost(self.log)
        self.broker = self.vhost.broker
        self.broker.scratch = self.scratch = KeepingScratch()
        self.broker.now_ms = SECOND_MS
        letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
        self.highest = arguments.get("x-max-priority", 0)
        self.queue = make_queue(
            self.vhost, "q", durable=durable, arguments=letters | arguments, owner=None
        )
        self.dead = make_queue(self.vhost, "dead")
        self.ready: list[Twin] = []
        self.held: list[tuple[Twin, Message]] = []
        self.ended = 0  # by expiry

    def publish(
        self,
        *,
        persistent: bool = True,
        priority: int = 0,
        ttl_ms: int | None = None,
        size: int = 1,
    ) -> None:
        """One message more."""
        id_ = self.broker.next_message_id
        properties: dict[str, Any] = {"delivery_mode": 2 if persistent else 1}
        if ttl_ms is not None:
            properties["expiration"] = str(ttl_ms)
        publish(self.vhost, "q", b"m" * size, priority=priority, **properties)
        deadline_ms = NEVER if ttl_ms is None else self.broker.now_ms + ttl_ms
        self.ready.append(Twin(id_, min(priority, self.highest), deadline_ms, size))

    def page_out(self) -> None:
        """Let leave memory what can."""
        self.log.commit()
        for part in self.queue.backlog.parts():
            while part.page_out(0, Paging(self.queue)):
                pass

    def get(self) -> None:
        """Take what is to be delivered next; it is the list's next one, and did not expire."""
        found = self.queue.get(no_ack=False)
        self.expire()
        expected = min(self.ready, key=_place, default=None)
        assert (found and found[0].id) == (expected and expected.id)
        if found is not None and expected is not None:
            self.ready.remove(expected)
            self.held.append((expected, found[0]))

    def settle(self, at: int, how: str) -> None:
        """Ack or requeue one of the deliveries."""
        if self.held:
            twin, message = self.held.pop(at % len(self.held))
            if how == "ack":
                self.queue.ack([message])
            else:
                self.queue.requeue([message])
                self.ready.append(twin)
                self.wait(0)

    def take_out(self, at: int) -> None:
        """Take two messages out of wherever they are."""
        self.expire()
        chosen = sorted(self.ready[at % 7 :: 5][:2], key=lambda twin: twin.id)
        assert browsing.take_out(self.queue, [twin.id for twin in chosen]) == len(chosen)
        self.ready = [twin for twin in self.ready if twin not in chosen]

    def wait(self, ms: int) -> None:
        """Let time pass."""
        end_ms = self.broker.now_ms + ms
        pass_time(self.broker, ms)
        self.broker.now_ms = end_ms
        settle_down(self.broker)

    def expire(self) -> None:
        """What has expired is of the list no more."""
        now_ms = self.broker.now_ms
        self.ended += sum(twin.deadline_ms <= now_ms for twin in self.ready)
        self.ready = [twin for twin in self.ready if twin.deadline_ms > now_ms]

    def check(self) -> None:
        """The queue holds what the list holds, and only for so long what has expired besides."""
        backlog = self.queue.backlog
        browsed = list(backlog.browse())
        late = [
            message
            for message in browsed
            if 0 <= message.ttl_ms <= self.broker.now_ms - message.published_ms
        ]
        for message in late:
            over_ms = self.broker.now_ms - message.published_ms - message.ttl_ms
            assert over_ms <= LOOK_AGAIN_MS
        self.expire()
        listed = [twin.id for twin in sorted(self.ready, key=_place)]
        assert [message.id for message in browsed if message not in late] == listed
        assert len(backlog) == len(browsed)
        assert backlog.size_bytes == sum(message.size for message in browsed)
        assert len(self.dead) == self.ended - len(late)
        oldest = backlog.oldest()
        if not self.highest and oldest is not None:
            assert oldest.id == browsed[0].id

    def finish(self) -> None:
        """When everything is gone, nothing is kept for it."""
        for _, message in self.held:
            self.queue.ack([message])
        self.queue.purge()
        assert not self.scratch.frames
        assert not +self.log.references


def _place(twin: Twin) -> tuple[int, int]:
    return -twin.level, twin.id


sizes = st.sampled_from([0, 1, 5])
lives = st.sampled_from([None, None, 20, 5 * SECOND_MS, 40 * SECOND_MS])
publishes = st.fixed_dictionaries(
    {
        "persistent": st.booleans(),
        "priority": st.integers(0, 3),
        "ttl_ms": lives,
        "size": sizes,
    }
)
steps = st.one_of(
    st.tuples(st.just("publish"), st.lists(publishes, min_size=1, max_size=5)),
    st.tuples(st.just("publish"), st.lists(publishes, min_size=1, max_size=5)),
    st.tuples(st.just("page_out"), st.none()),
    st.tuples(st.just("page_out"), st.none()),
    st.tuples(st.just("get"), st.integers(1, 4)),
    st.tuples(st.sampled_from(["ack", "requeue"]), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.sampled_from([1, 20, 3 * SECOND_MS, 12 * SECOND_MS])),
    st.tuples(st.just("take_out"), st.integers(0, 20)),
)


@settings(max_examples=400)
@given(
    st.lists(steps, min_size=5, max_size=40),
    st.booleans(),
    st.sampled_from([{}, {"x-max-priority": 2}]),
)
def test_a_paged_queue_is_a_list(
    program: list[tuple[str, Any]], durable: bool, arguments: dict[str, Any]
) -> None:
    """Order, length and octets hold whatever leaves memory, comes back or expires meanwhile."""
    scene = Scene(durable=durable, **arguments)
    for what, which in program:
        if what == "publish":
            for each in which:
                scene.publish(**each)
        elif what == "get":
            for _ in range(which):
                scene.get()
        elif what in ("ack", "requeue"):
            scene.settle(which, what)
        elif what == "page_out":
            scene.page_out()
        else:
            getattr(scene, what)(which)
        scene.check()
    scene.finish()


def pages(queue: Queue) -> list[list[int]]:
    """The ids in each page."""
    return [list(page.ids) for part in queue.backlog.parts() for page in part.paged()]


def test_what_is_read_behind_an_expired_head_is_looked_at_first() -> None:
    """If all in memory expired, the page behind it is not handed out unseen."""
    scene = Scene()
    scene.publish(ttl_ms=2 * SECOND_MS)
    scene.publish(ttl_ms=100)
    scene.publish(ttl_ms=1900)
    scene.publish()
    scene.page_out()
    scene.wait(2500)
    scene.get()
    assert scene.held[0][1].ttl_ms == -1


def test_what_a_length_limit_has_read_is_looked_at_first() -> None:
    """A message of a page that a limit brought back is not delivered if it has expired."""
    scene = Scene(**{"x-max-length": 4})
    for ttl_ms in (None, 100, 1900, None):
        scene.publish(ttl_ms=ttl_ms)
    scene.page_out()
    scene.wait(2000)
    assert len(scene.queue) == 3, "the page is not due to be looked at again"
    fill(scene.queue, 2)
    found = scene.queue.get(no_ack=True)
    assert found is not None
    assert found[0].id == scene.ready[3].id


def test_a_page_without_messages_is_gone() -> None:
    """A page whose messages all expired is never read again: its batch may be gone."""
    scene = Scene()
    scene.publish()
    for _ in range(3):
        scene.publish(ttl_ms=100)
    scene.publish()
    scene.page_out()
    scene.wait(200)
    assert pages(scene.queue) == [[scene.ready[-1].id]]
    scene.log.references.clear()
    scene.log.references[1] = 2
    scene.get()
    scene.get()


@pytest.mark.parametrize("how", ["expire", "take out"])
def test_a_frame_goes_with_the_last_of_its_messages(how: str) -> None:
    """Of a page with places in the log and in scratch, scratch is freed when it is not needed."""
    scene = Scene()
    scene.publish()
    scene.publish(persistent=False, ttl_ms=100)
    scene.publish()
    transient = scene.ready[1].id
    scene.page_out()
    assert len(scene.scratch.frames) == 1
    if how == "expire":
        scene.wait(200)
    else:
        browsing.take_out(scene.queue, [transient])
    assert not scene.scratch.frames
    assert len(scene.queue) == 2


def test_messages_taken_out_do_not_put_off_expiry() -> None:
    """Taking a message out of a page again and again does not keep others that expired in it."""
    scene = Scene()
    scene.publish()
    scene.publish(ttl_ms=SECOND_MS)
    for _ in range(2):
        scene.publish()
    scene.page_out()
    browsing.take_out(scene.queue, [scene.ready.pop().id])
    scene.wait(SECOND_MS)
    assert len(scene.dead) == 1
    scene.expire()
    scene.check()


def test_a_full_scratch_leaves_messages_in_memory() -> None:
    """If they cannot be written nothing has changed, and they go the next time."""
    scene = Scene()
    for _ in range(5):
        scene.publish(persistent=False)
    scene.scratch.full = True
    with pytest.raises(OSError, match="no space left"):
        scene.page_out()
    scene.check()
    assert pages(scene.queue) == []
    scene.scratch.full = False
    scene.page_out()
    assert sum(map(len, pages(scene.queue))) == 4
    scene.check()


def test_where_the_log_does_not_keep_a_message_scratch_does() -> None:
    """A persistent message in a queue that is not durable is no concern of the log's."""
    scene = Scene()
    other = make_queue(scene.vhost, "other")
    for _ in range(4):
        publish(scene.vhost, "other", delivery_mode=2)
    scene.log.commit()
    (part,) = other.backlog.parts()
    while part.page_out(0, Paging(other)):
        pass
    assert [set(page.places) for page in part.paged()] == [{-1}]
    assert other.purge() == 4
    assert not scene.scratch.frames


def test_deleting_a_paged_queue_lets_go_of_all() -> None:
    """What a deleted queue held is kept nowhere: no references, no frames, no counts."""
    scene = Scene(**{"x-queue-type": "quorum"})
    for number in range(8):
        scene.publish(persistent=number % 2 == 0)
    for _ in range(3):
        scene.get()
    for _ in range(3):
        scene.settle(0, "requeue")
    scene.page_out()
    assert scene.vhost.delete_queue("q", None) == 8
    assert not scene.scratch.frames
    assert not +scene.log.references
    assert not scene.queue.returns


def test_a_full_paged_queue_refuses() -> None:
    """A length limit counts messages in pages too, also for reject-publish."""
    scene = Scene(**{"x-max-length": 5, "x-overflow": "reject-publish"})
    for _ in range(5):
        scene.publish()
    scene.page_out()
    assert scene.queue.rejects(1)
    scene.get()
    assert not scene.queue.rejects(1)


def test_a_policy_ages_what_is_in_pages() -> None:
    """A TTL that comes while a queue is paged ends what is older, wherever it is, and in order."""
    scene = Scene()
    for _ in range(5):
        scene.publish()
    scene.wait(SECOND_MS)
    for _ in range(4):
        scene.publish()
    scene.page_out()
    old = [twin.id for twin in scene.ready[:5]]
    scene.queue.configure(replace(scene.queue.settings, message_ttl_ms=SECOND_MS // 2))
    assert len(scene.dead) == 5
    assert [message.id for message in scene.queue.backlog.browse()] == [
        twin.id for twin in scene.ready if twin.id not in old
    ]
    scene.wait(SECOND_MS)
    assert (len(scene.queue), len(scene.dead)) == (0, 9)
    scene.held.clear()
    scene.finish()


def test_what_is_overdue_stays_so_under_new_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that changes while many messages are about to be dropped has none delivered."""
    monkeypatch.setattr(retention, "DROP_BATCH_MAX", 2)
    scene = Scene()
    for _ in range(9):
        scene.publish(ttl_ms=100)
    scene.broker.now_ms += 200
    assert scene.queue.retention is not None
    scene.queue.retention.enforce()
    consumer = subscribe(scene.queue)
    scene.queue.configure(replace(scene.queue.settings, max_length=100))
    scene.wait(1)
    assert consumer.ids == []
    assert len(scene.dead) == 9
