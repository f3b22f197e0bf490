"""The log under a flood: what is written, what is counted, and who is told of it."""

import logging
from collections.abc import Iterator

import pytest

from broker import logs
from broker.config import Config
from broker.logs.limiter import OF_ALL, PERIOD_S, SOURCES_MAX, Limiter

MOST = 5


class Flood:
    """A logger behind a limiter, whose clock a test moves."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.now_s = 100.0
        self.limiter = Limiter(lambda: self.now_s)
        self.limiter.lines_max = MOST
        self._handler = caplog.handler
        self._handler.addFilter(self.limiter)
        self._log = logging.getLogger("leveret.connection")

    def refuse(self, source: str | None, times: int = 1, kind: str = "refused %d") -> None:
        """As many lines as somebody causes."""
        extra = {} if source is None else {"source": source}
        for number in range(times):
            self._log.warning(kind, number, extra=extra)

    @property
    def lines(self) -> list[str]:
        """What was written since it was asked last."""
        lines = [record.getMessage() for record in self._handler.records]
        self._handler.clear()
        return lines

    def over(self) -> None:
        """Let a period pass."""
        self.now_s += PERIOD_S

    def end(self) -> None:
        """Leave the handler as it was."""
        self._handler.removeFilter(self.limiter)


@pytest.fixture
def flood(caplog: pytest.LogCaptureFixture) -> Iterator[Flood]:
    """A flood that has not begun."""
    caplog.set_level(logging.DEBUG)
    flood = Flood(caplog)
    yield flood
    flood.end()


def test_one_address_is_held_back(flood: Flood) -> None:
    """Of one kind of line only so many are written for an address; then one says how many more."""
    flood.refuse("1.2.3.4", 1000)
    assert flood.lines == [f"refused {number}" for number in range(MOST)]
    flood.over()
    flood.limiter.report()
    assert flood.lines == [
        "995 more lines like this in the last 10 s, 995 of them because of 1.2.3.4: "
        "connection: refused 999"
    ]
    flood.limiter.report()
    assert flood.lines == []


def test_others_are_written(flood: Flood) -> None:
    """Neither other addresses nor other kinds of lines are lost in it."""
    flood.refuse("1.2.3.4", 1000)
    _ = flood.lines
    flood.refuse("5.6.7.8")
    flood.refuse("1.2.3.4", kind="opened %d")
    assert flood.lines == ["refused 0", "opened 0"]


def test_many_addresses_are_held_back_together(flood: Flood) -> None:
    """A swarm has ten times as many lines as one address; memory for addresses is bounded."""
    for number in range(3 * SOURCES_MAX):
        flood.refuse(f"10.0.{number // 256}.{number % 256}")
    assert len(flood.lines) == OF_ALL * MOST
    flood.over()
    flood.limiter.report()
    (line,) = flood.lines
    others = 2 * SOURCES_MAX - OF_ALL * MOST
    count = 3 * SOURCES_MAX - OF_ALL * MOST
    assert line.startswith(
        f"{count} more lines like this in the last 10 s, {others} of them because"
    )


def test_a_new_period_begins_anew(flood: Flood) -> None:
    """When the time is over lines are written again, after the one about those that were not."""
    flood.refuse("1.2.3.4", MOST + 1)
    _ = flood.lines
    flood.over()
    flood.refuse("1.2.3.4")
    assert [line.split()[0] for line in flood.lines] == ["1", "refused"]


def test_lines_without_a_source_are_all_written(flood: Flood) -> None:
    """What no peer caused is written, however often it comes; so is all if there is no limit."""
    flood.refuse(None, 100)
    assert len(flood.lines) == 100
    flood.limiter.lines_max = None
    flood.refuse("1.2.3.4", 100)
    assert len(flood.lines) == 100


def test_every_output_gets_the_same(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """What is held back is held back everywhere, and counts once for all outputs."""
    logs.configure(config)
    before = logs.RECENT.last
    for _ in range(300):
        logging.getLogger("leveret.test").warning("again", extra={"source": "1.2.3.4"})
    assert capsys.readouterr().out.count("again") == logs.RECENT.last - before == 100
