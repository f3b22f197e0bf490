"""Who gets the next messages of a queue: consumers by priority, and in turn among equals.

Invariants:

* ``consumers`` is ordered by priority, highest first, then by age.
* A consumer gets messages only if none of a higher priority has room.
* With single active consumer, ``active`` alone gets messages, whatever the priorities; when it
  leaves, the first of ``consumers`` takes its place.
"""

from __future__ import annotations

from broker.core.consumer import Consumer
from broker.core.message import Message

Taker = tuple[Consumer, int]  # a consumer and the room it has, in messages


class Dispatch:
    """The consumers of one queue."""

    __slots__ = ("_turn", "active", "consumers", "single_active")

    def __init__(self, *, single_active: bool) -> None:
        self.single_active = single_active
        self.consumers: list[Consumer] = []
        self.active: Consumer | None = None
        self._turn = 0  # index of the consumer whose turn it is, among equals

    @property
    def is_exclusive(self) -> bool:
        """Whether one consumer asked to be the only one."""
        return bool(self.consumers) and self.consumers[0].exclusive

    def add(self, consumer: Consumer) -> None:
        """A consumer more; among equals of priority it stands last."""
        at = len(self.consumers)
        while at and self.consumers[at - 1].priority < consumer.priority:
            at -= 1
        self.consumers.insert(at, consumer)
        if self.single_active and self.active is None:
            self.active = consumer

    def remove(self, consumer: Consumer) -> None:
        """A consumer leaves."""
        self.consumers.remove(consumer)
        if consumer is self.active:
            self.active = self.consumers[0] if self.consumers else None

    def clear(self) -> list[Consumer]:
        """All consumers leave; they are."""
        consumers = list(self.consumers)
        self.consumers.clear()
        self.active = None
        return consumers

    def takers(self) -> list[Taker]:
        """Consumers of the highest priority that has room, with their room, in turn."""
        consumers = self.consumers if self.active is None else [self.active]
        if len(consumers) == 1:
            room = consumers[0].capacity()
            return [(consumers[0], room)] if room > 0 else []
        takers: list[Taker] = []
        for consumer in consumers:
            if takers and takers[0][0].priority != consumer.priority:
                break
            room = consumer.capacity()
            if room > 0:
                takers.append((consumer, room))
        if len(takers) > 1:
            self._turn %= len(takers)
            takers = takers[self._turn :] + takers[: self._turn]
        return takers

    def advance(self, count: int) -> None:
        """So many messages were handed out, one to each in turn."""
        self._turn += count


def share(takers: list[Taker], messages: list[Message], most: int) -> list[list[Message]]:
    """Deal messages in order: a list for each taker, as even as room and ``most`` allow."""
    shares: list[list[Message]] = [[] for _ in takers]
    open_shares = list(range(len(takers)))
    at = 0
    for message in messages:
        number = open_shares[at]
        shares[number].append(message)
        if len(shares[number]) >= min(takers[number][1], most):
            del open_shares[at]
        else:
            at += 1
        if at >= len(open_shares):
            at = 0
    return shares
