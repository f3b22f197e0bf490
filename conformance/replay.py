"""Recorded scenarios, played against a broker: every frame the server sends is compared.

Owns the meaning of ``recorded/scenarios.json``: what 642 conversations with RabbitMQ 3.10.8 sent
and got. A step is ``[who, connection, channel, what, arguments]``; ``C`` sends, ``S`` must come,
``-`` waits or closes. A frame's arguments leave out zeros, empty strings and false.
``recorded/deviations.json`` has other last steps for where Leveret means to answer differently,
``recorded/pending.txt`` the scenarios of features it does not have yet.

What is compared: the order of frames on each channel, the method and its arguments, the content
header's properties with the type of each value, the body and how it was cut into frames, and how
TCP ends. What is not:

* generated names (``amq.gen-``, ``amq.ctag-``, reply-to addresses) only have to keep their prefix
  and to be the same wherever the recording has the same one;
* confirms are compared as the set of tags they cover, because how many one ack covers and whether
  it overtakes another frame is a matter of timing;
* the times in x-death, the product's name and version, FIN or RST at the end of a connection;
* a count in queue.declare-ok that lags behind publishes is asked for again, as RabbitMQ's does;
  so is a basic.get in a ``patient`` scenario, one that uses two connections or dead-letters.

Names are made unique to a scenario without changing their length, so scenarios run side by side.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from conformance.channel import Channel
from conformance.codec import Body, Event, Header, Method, Other
from conformance.wire import Connection, Silence, TcpClosed

RECORDED = Path(__file__).parent / "recorded"
GENERATED = re.compile(r"amq\.(gen-[\w-]{22}|ctag-[\w-]{22}|rabbitmq\.reply-to\.[\w./+=-]+)$")
PREFIXES = ("amq.gen-", "amq.ctag-", "amq.rabbitmq.reply-to.")
SHARED = ("amq.direct", "amq.fanout", "amq.topic", "amq.headers")
CONFIRMS = ("basic.ack", "basic.nack")
PATIENCE_S = 3.0
LANES = 6
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

Scenario = dict[str, Any]
Step = list[Any]


class Skip(Exception):
    """The scenario cannot be played here; the text says why."""


@cache
def scenarios() -> dict[str, Scenario]:
    """Every recorded scenario by its id."""
    recorded: list[Scenario] = json.loads((RECORDED / "scenarios.json").read_text("utf-8"))
    for change in json.loads((RECORDED / "deviations.json").read_text("utf-8")):
        for scenario in recorded:
            if scenario["id"] in change["scenarios"]:
                scenario["deviation"] = change
    return {
        scenario["id"]: _rename(scenario, f"{DIGITS[n // 36]}{DIGITS[n % 36]}.")
        for n, scenario in enumerate(recorded)
    }


def _rename(value: Any, prefix: str) -> Any:
    """Replace ``bq.`` and ``bx.`` in every string, so that no two scenarios share a name."""
    if isinstance(value, str):
        return value.replace("bq.", prefix).replace("bx.", prefix)
    if isinstance(value, list):
        return [_rename(item, prefix) for item in value]
    if isinstance(value, dict):
        return {_rename(key, prefix): _rename(item, prefix) for key, item in value.items()}
    return value


def _as_recorded(props: dict[str, Any]) -> dict[str, Any]:
    """Properties without the headers that RabbitMQ adds since 3.13 and 3.10.8 did not."""
    headers = props.get("headers")
    if not isinstance(headers, dict) or "x-death" not in headers:
        return props
    kept = {name: v for name, v in headers.items() if not name.startswith("x-last-death-")}
    return props | {"headers": kept}


def pending() -> dict[str, str]:
    """Ids of scenarios that Leveret does not pass yet, with the reason."""
    reasons: dict[str, str] = {}
    reason = ""
    for line in (RECORDED / "pending.txt").read_text("utf-8").splitlines():
        if line.startswith("#"):
            reason = line.lstrip("# ")
        elif line.strip():
            reasons[line.strip()] = reason
    return reasons


class Replay:
    """All scenarios against one broker, several at a time; results are asked for by id."""

    def __init__(self, url: str, *, deviations: bool) -> None:
        self._pool = ThreadPoolExecutor(64, thread_name_prefix="replay")
        alone: list[Scenario] = []
        lanes: list[list[Scenario]] = [[] for _ in range(LANES)]
        slow: list[list[Scenario]] = []
        playable = [s for s in scenarios().values() if "skip" not in s]
        for n, scenario in enumerate(playable):
            if "closed_after_s" in scenario:
                slow.append([scenario])  # they wait for the server and cost nothing meanwhile
            elif deviations and scenario["id"] in pending():
                slow.append([scenario])  # they may wait in vain for an answer
            elif any(name in json.dumps(scenario["steps"]) for name in SHARED):
                alone.append(scenario)  # what they bind to these exchanges others would see
            else:
                lanes[n % LANES].append(scenario)
        self._results: dict[str, Future[None]] = {}
        for lane in (*slow, alone, *lanes):
            futures: list[tuple[Scenario, Future[None]]] = [(s, Future()) for s in lane]
            self._results |= {s["id"]: future for s, future in futures}
            self._pool.submit(self._lane, url, futures, deviations)

    @staticmethod
    def _lane(url: str, futures: list[tuple[Scenario, Future[None]]], deviations: bool) -> None:
        for scenario, future in futures:
            try:
                Player(url, scenario, deviations=deviations).play()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(None)

    def result(self, scenario_id: str) -> None:
        """Return when the scenario has passed; raise what it raised when it failed."""
        self._results[scenario_id].result(timeout=120)

    def close(self) -> None:
        """Wait for the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class Player:
    """One scenario against one broker."""

    def __init__(self, url: str, scenario: Scenario, *, deviations: bool = False) -> None:
        self.url = url
        self.scenario = scenario
        self.steps: list[Step] = scenario["steps"]
        if deviations and "deviation" in scenario:
            other = scenario["deviation"]
            self.steps = [*self.steps[: other["from"]], *other["steps"]]
        self.connections: dict[str, Connection] = {}
        self.generated: dict[str, str] = {}
        self.confirmed: dict[tuple[str, int], set[int]] = {}
        self.last_call: Step = []
        self.began = 0.0

    def play(self) -> None:
        """Play it; AssertionError says at which step the broker differed."""
        steps = self.steps
        at: Step = []
        try:
            setup: list[Step] = self.scenario.get("setup", [])
            for name in dict.fromkeys(step[1] for step in (*setup, *steps) if step[0] in "CS"):
                self._connect(name)
            for step in setup:
                at = step
                self._step(step)
            self.began = time.monotonic()
            for step, play in self._blocks(steps):
                at = step
                play()
            at = ["-", "end"]
            self._end()
        except (AssertionError, OSError) as error:
            raise AssertionError(f"{self.scenario['id']} at {_short(at)}: {error}") from error
        finally:
            for connection in self.connections.values():
                connection.close()
            self._clean()

    # -- connections

    def _connect(self, name: str) -> None:
        options: dict[str, Any] = dict(self.scenario.get("connect", {}).get(name, {}))
        user = self.scenario.get("users", {}).get(name)
        if user is not None:
            options |= {"user": user, "password": user}
        begin = self.scenario.get("begin", "channel")
        stage = "open" if begin == "channel" or name != "c1" else begin
        try:
            connection = Connection(self.url, stage=stage, **options)
        except AssertionError as error:
            if user is None:
                raise
            raise Skip(f"no user {user} here: {error}") from error
        self.connections[name] = connection
        if stage == begin:
            return
        for number in (1, *self.scenario.get("channels", {}).get(name, [])):
            connection.channel(number)

    def _end(self) -> None:
        """Nothing more comes; a connection that the server closed is closed in good order."""
        for connection in self.connections.values():
            if connection.closed_by_server and not connection.tcp_closed:
                connection.send("connection.close-ok")
                connection.expect_tcp_close()
            elif not connection.tcp_closed:
                connection.expect_silence(0.05)

    def _clean(self) -> None:
        names: dict[tuple[str, str], None] = {}
        for step in (*self.scenario.get("setup", []), *self.steps):
            if step[0] == "C" and step[3] in ("queue.declare", "exchange.declare"):
                kind = step[3].split(".")[0]
                name = step[4].get(kind)
                if isinstance(name, str) and not name.startswith("amq."):
                    names[(kind, name)] = None
        if not names:
            return
        with contextlib.suppress(AssertionError, OSError), Connection(self.url) as connection:
            channel = connection.channel()
            for kind, name in names:
                channel.call(f"{kind}.delete", **{kind: name})

    # -- steps

    def _blocks(self, steps: list[Step]) -> Iterator[tuple[Step, Callable[[], None]]]:
        """Single steps, and runs of server frames on one channel that hold confirms."""
        at = 0
        while at < len(steps):
            step = steps[at]
            end = at + 1
            if step[0] == "S":
                while end < len(steps) and steps[end][:3] == step[:3]:
                    end += 1
                run = steps[at:end]
                if any(other[3] in CONFIRMS for other in run):
                    yield step, lambda run=run: self._confirm_run(run)  # type: ignore[misc]
                    at = end
                    continue
                if step[3] == "heartbeat":
                    while steps[end][3] == "heartbeat":
                        end += 1
                    yield step, lambda n=end - at: self._heartbeats(n)  # type: ignore[misc]
                    at = end
                    continue
            yield step, lambda step=step: self._step(step)  # type: ignore[misc]
            at += 1

    def _step(self, step: Step) -> None:
        if step[0] == "-":
            if step[1] == "wait":
                time.sleep(step[2])
            else:
                self.connections[step[2]].close()
        elif step[0] == "C":
            self._send(step)
        else:
            self._expect(step)

    def _send(self, step: Step) -> None:
        _, name, number, what, args = (*step, None)[:5]
        connection = self.connections[name]
        channel = Channel(connection, number or 0)
        args = self._translate(args)
        if what == "raw":
            connection.send_raw(bytes.fromhex(args))
        elif what == "header":
            channel.header(args["size"], args.get("class_id", 60), **args["props"])
        elif what == "body":
            channel.body(_octets(args))
        elif what == "bodies":
            _send_body(channel, args)
        else:
            self.last_call = step
            channel.send(what, **args)

    def _expect(self, step: Step) -> None:
        _, name, number, what, args = (*step, None)[:5]
        connection = self.connections[name]
        if what == "closed":
            self._expect_closed(connection)
            return
        if what == "raw":
            octets = bytes.fromhex(args)
            assert connection.read_octets(len(octets)) == octets
            return
        deadline = time.monotonic() + PATIENCE_S
        while True:
            event = connection.next(number)
            try:
                self._compare(event, what, args)
            except AssertionError:
                if not self._may_ask_again(event) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
                self._send(self.last_call)
            else:
                return

    def _may_ask_again(self, event: Event) -> bool:
        if not isinstance(event, Method):
            return False
        if event.name == "queue.declare-ok":
            return self.last_call[3] == "queue.declare"
        asked = event.name == "basic.get-empty" and self.last_call[3] == "basic.get"
        return asked and bool(self.scenario.get("patient"))

    def _expect_closed(self, connection: Connection) -> None:
        connection.expect_tcp_close(timeout=40.0)
        expected = self.scenario.get("closed_after_s")
        if expected is not None:
            took = time.monotonic() - self.began
            assert expected - 1.0 < took < expected + 4.0, f"closed after {took:.1f} s"

    def _heartbeats(self, count: int) -> None:
        connection = self.connections["c1"]
        with contextlib.suppress(TcpClosed):
            connection.next(None, timeout=15.0)
            raise AssertionError("expected heartbeats alone")
        assert abs(connection.heartbeats - count) <= 2, f"{connection.heartbeats} heartbeats"

    def _confirm_run(self, run: list[Step]) -> None:
        """Frames in order, confirms as a set; ack and nack are told apart."""
        _, name, number, _, _ = run[0]
        done = self.confirmed.setdefault((name, number), set())
        expected: dict[int, str] = {}
        others = [step for step in run if step[3] not in CONFIRMS]
        for step in run:
            if step[3] in CONFIRMS:
                _cover(expected, done, step[3], step[4])
        got: dict[int, str] = {}
        while others or got != expected:
            event = self.connections[name].next(number)
            if isinstance(event, Method) and event.name in CONFIRMS:
                _cover(got, done, event.name, event.args)
                assert got.items() <= expected.items(), f"expected {expected}, got {got}"
            else:
                assert others, f"expected confirms {expected}, got {got} and {event}"
                self._compare(event, others[0][3], others[0][4])
                others.pop(0)
        done.update(expected)

    # -- comparing

    def _compare(self, event: Event, what: str, args: Any) -> None:
        if what == "header":
            assert isinstance(event, Header), f"expected a content header, got {event}"
            got: Any = {"size": event.body_size, "props": _as_recorded(event.props)}
            self._same(args, got, "header")
        elif what == "body":
            assert isinstance(event, Body), f"expected a content body, got {event}"
            assert event.data == _octets(args), f"expected body {args!r:.80}, got {event!r:.80}"
        else:
            assert not isinstance(event, Other | Header | Body), f"expected {what}, got {event}"
            assert event.name == what, f"expected {what} {args}, got {event.name} {event.args}"
            if what == "connection.start":
                _compare_start(args, event.args)
                return
            present = {key: value for key, value in event.args.items() if value or key in args}
            try:
                self._same(args, present, what)
            except AssertionError as error:
                raise AssertionError(f"{error}; expected {args}, got {present}") from None

    def _same(self, expected: Any, got: Any, where: str) -> None:
        if isinstance(expected, dict) and isinstance(got, dict):
            assert list(expected) == list(got) or where in _UNORDERED or "." in where, (
                f"{where}: expected fields {list(expected)}, got {list(got)}"
            )
            assert expected.keys() == got.keys(), f"{where}: {list(expected)} != {list(got)}"
            for key, value in expected.items():
                if key == "time" and list(value) == ["T"]:
                    assert list(got[key]) == ["T"], f"time is {got[key]}"
                else:
                    self._same(value, got[key], key)
        elif isinstance(expected, list) and isinstance(got, list):
            assert len(expected) == len(got), f"{where}: expected {expected}, got {got}"
            for a, b in zip(expected, got, strict=True):
                self._same(a, b, where)
        elif isinstance(expected, str) and isinstance(got, str):
            self._same_text(expected, got, where)
        else:
            assert expected == got, f"{where}: expected {expected!r}, got {got!r}"

    def _same_text(self, expected: str, got: str, where: str) -> None:
        """Equal, or both generated: then this recorded name stands for that one from now on."""
        translated = self._translate(expected)
        if translated == got:
            return
        if GENERATED.match(expected) and expected not in self.generated:
            prefix = next(p for p in PREFIXES if expected.startswith(p))
            assert got.startswith(prefix), f"{where}: expected a name {prefix}..., got {got!r}"
            self.generated[expected] = got
            return
        for name in re.findall(r"'(amq\.gen-[\w-]{22})'", expected):
            found = re.search(r"'(amq\.gen-[\w-]+)'", got)
            if found and name not in self.generated:
                self.generated[name] = found[1]
        assert self._translate(expected) == got, f"{where}: expected {translated!r}, got {got!r}"

    def _translate(self, value: Any) -> Any:
        if isinstance(value, str):
            for recorded, actual in self.generated.items():
                value = value.replace(recorded, actual)
            return value
        if isinstance(value, list):
            return [self._translate(item) for item in value]
        if isinstance(value, dict):
            return {key: self._translate(item) for key, item in value.items()}
        return value


_UNORDERED = ("header", "props")


def _cover(confirms: dict[int, str], done: set[int], name: str, args: dict[str, Any]) -> None:
    last: int = args["delivery_tag"]
    first = last
    if args.get("multiple"):
        first = max(done, default=0) + 1
        first = min(first, last)
    for tag in range(first, last + 1):
        confirms.setdefault(tag, name)


def _octets(body: Any) -> bytes:
    if isinstance(body, dict):
        filled: str = body["fill"] * body["size"]
        return filled.encode()
    return bytes(body.encode())


def _send_body(channel: Channel, args: dict[str, Any]) -> None:
    """A large body in frames of the usual size."""
    piece = args["fill"].encode() * 131064
    whole, rest = divmod(args["size"], len(piece))
    for _ in range(whole):
        channel.body(piece)
    if rest:
        channel.body(piece[:rest])


def _compare_start(expected: dict[str, Any], got: dict[str, Any]) -> None:
    """Capabilities and versions are compared; product and platform texts only have to be there."""
    for key in ("version_major", "version_minor"):
        assert got[key] == expected.get(key, 0), f"{key}: {got[key]}"
    wanted, offered = expected["server_properties"], got["server_properties"]
    assert offered.keys() >= wanted.keys(), f"server properties: {list(offered)}"
    assert offered["capabilities"] == wanted["capabilities"], f"{offered['capabilities']}"
    assert all(list(offered[key]) == ["S"] for key in wanted if key != "capabilities")
    assert set(got["mechanisms"].split()) == set(expected["mechanisms"].split())
    assert got["locales"] == expected["locales"]


def _short(step: Step) -> str:
    text = json.dumps(step, ensure_ascii=False)
    return text if len(text) < 160 else f"{text[:160]}..."


__all__ = ["Replay", "Silence", "Skip", "pending", "scenarios"]
