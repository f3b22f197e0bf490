"""What the AMQP front end asks of the process it runs in; ``broker.host`` provides it."""

from __future__ import annotations

from asyncio import Future
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from broker.core.broker import Broker
from protocol.offer import Offer
from protocol.proxy import Address

if TYPE_CHECKING:
    from broker.amqp.access import Identity
    from broker.amqp.session import Session


Origin = tuple[Address, Address]
"""Who a client is and where it connected to, where a balancer in front of us says so."""


class Settles(Protocol):
    """Somebody who holds grouped acks until the tick."""

    def settle(self) -> None:
        """Pass them to the queue."""


class Confirming(Protocol):
    """Somebody who owes a publisher confirms."""

    def mark(self, batch: int) -> None:
        """Everything published until now is in batches up to ``batch``, now being sealed."""

    def confirm(self, durable: int) -> bool:
        """Confirm what batches up to ``durable`` hold; true if nothing is owed any more."""


class Writes(Protocol):
    """Somebody with output to write at the end of the tick."""

    hold_until: int  # the log batch that has to be durable before anything is written

    def flush(self) -> None:
        """Write what has collected."""


class Reads(Protocol):
    """Somebody whose last read was large, or is not acted on to the end."""

    def unthrottle(self) -> bool:
        """Go on; whether the socket is read again."""


class Turns(Protocol):
    """How clients share the turns of the event loop, see ``broker.turns``."""

    work: int
    waiting: deque[Reads]

    def light_read(self, now_ms: int) -> None:
        """A client that sends little sent something."""


class Pressure(Protocol):
    """Back-pressure, see ``broker.pressure``."""

    def check(self, reader: Session) -> None:
        """After a read: hold the session back if it publishes to a congested queue."""


class Alarms(Protocol):
    """Resource alarms, see ``broker.alarms``."""

    reasons: tuple[str, ...]

    @property
    def text(self) -> str:
        """What connection.blocked says."""


class Tick(Protocol):
    """The work lists of the coming tick, see ``broker.tick``."""

    settling: list[Settles]
    confirming: list[Confirming]
    writers: list[Writes]

    @property
    def turns(self) -> Turns:
        """Who gets how much of a turn of the loop."""

    @property
    def pressure(self) -> Pressure:
        """Whom to ask after each read."""

    def settle(self) -> None:
        """Pass grouped acks to their queues now."""

    def wake(self) -> None:
        """Have the tick run in this iteration of the event loop."""

    def write(self, writer: Writes) -> bool:
        """Write what this one is owed before the tick, if it need not wait for the disk."""

    def read_clock(self) -> None:
        """Set ``Broker.now_ms``."""


class Timeouts(Protocol):
    """Who looks for overdue deliveries, see ``broker.amqp.timeouts``."""

    def expect(self, timeout_ms: int) -> None:
        """There is somebody with this timeout."""


class Host(Protocol):
    """The process: the model, its tick, who may log in, what is offered, timers."""

    broker: Broker
    tick: Tick
    offer: Offer
    fast_path: bool
    handshake_timeout_s: float
    default_consumer_prefetch: int
    socket_options: tuple[tuple[int, int, int], ...]  # arguments of setsockopt
    timeouts: Timeouts

    @property
    def alarms(self) -> Alarms:
        """What resources are short."""

    def authenticate(
        self, session: Session, mechanism: str, response: bytes
    ) -> Identity | Future[Identity]:
        """Who the client is; raises ``LoginRefused``, or another ``HardError``."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Run ``callback`` once, later."""

    def connected(self, session: Session) -> None:
        """A socket was accepted."""

    def disconnected(self, session: Session) -> None:
        """A socket is gone."""


class Timer(Protocol):
    """A pending ``Host.call_later``."""

    def cancel(self) -> None:
        """Do not call."""
