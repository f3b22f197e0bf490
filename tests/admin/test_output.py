"""How answers look: formats, banners, and the two voices."""

from __future__ import annotations

import json
from typing import Any

import pytest

from broker.admin.values import Kind, Voice, document, printable, text
from tests.admin.api import FakeApi
from tests.admin.conftest import Run

QUEUES = [
    {"name": "q1", "messages": 3, "arguments": {"x-expires": 5, "t": {"k": 1.5}}},
    {"name": "a\tb\x1b[31m", "messages": 0, "arguments": {}},
]
LISTED = "GET /api/queues/%2F?columns=arguments%2Cmessages%2Cname"
COLUMNS = ("name", "messages", "arguments")


@pytest.fixture
def queues(api: FakeApi) -> FakeApi:
    """An API with two queues."""
    api.answers[LISTED] = (200, QUEUES)
    return api


def test_table_of_rabbitmqctl(queues: FakeApi, ctl: Run) -> None:
    """Words, a line of columns and a line for each row, with tabs between."""
    words = "Timeout: 60.0 seconds ...\nListing queues for vhost / ...\n"
    head = "name\tmessages\targuments\n"
    rows = 'q1\t3\t[{"x-expires",5},{"t",[{"k",1.5}]}]\na\\tb\\x1b[31m\t0\t[]\n'
    assert ctl("list_queues", *COLUMNS).out == words + head + rows
    assert ctl("list_queues", *COLUMNS, "-q").out == head + rows
    assert ctl("-q", "list_queues", *COLUMNS).out == head + rows
    assert ctl("list_queues", "--silent", *COLUMNS).out == rows
    assert ctl("list_queues", "--no-table-headers", *COLUMNS).out == words + rows
    assert ctl("list_queues", ",".join(COLUMNS), "-s").out == rows


def test_csv_quotes_everything(queues: FakeApi, ctl: Run) -> None:
    """CSV has quotes around every value and no words before it."""
    queues.answers["GET /api/queues/%2F?columns=messages%2Cname"] = (200, QUEUES)
    ran = ctl("--formatter", "csv", "list_queues", "name", "messages")
    assert ran.out == '"name","messages"\n"q1","3"\n"a\\tb\\x1b[31m","0"\n'


def test_json_of_rabbitmqctl(queues: FakeApi, ctl: Run) -> None:
    """JSON is an object in each line; arguments are triples of name, type and value."""
    ran = ctl("list_queues", *COLUMNS, "--formatter", "json")
    assert ran.out.splitlines()[:2] == [
        "[",
        '{"name":"q1","messages":3,"arguments":'
        '[["x-expires","signedint",5],["t","table",[["k","double",1.5]]]]}',
    ]
    assert [row["name"] for row in json.loads(ran.out)] == ["q1", "a\tb\x1b[31m"]


def test_leveret_writes_for_people_and_plain_json(queues: FakeApi, leveret: Run) -> None:
    """leveret aligns its columns, says no words before them, and gives JSON as the API has it."""
    ran = leveret("list_queues", *COLUMNS)
    assert ran.out == (
        "name          messages    arguments\n"
        'q1            3           {"x-expires":5,"t":{"k":1.5}}\n'
        "a\\tb\\x1b[31m  0\n"
    )
    ran = leveret("list_queues", *COLUMNS, "--formatter", "json")
    assert json.loads(ran.out) == QUEUES


def test_nothing_to_list(api: FakeApi, ctl: Run, leveret: Run) -> None:
    """An empty listing has no line of columns with rabbitmqctl, and is `[]` in JSON."""
    path = "GET /api/queues/%2F?columns=messages%2Cname"
    api.answers[path] = (200, [])
    assert ctl("list_queues", "-q").out == ""
    assert json.loads(ctl("list_queues", "--formatter", "json").out) == []
    assert leveret("list_queues").out.split() == ["name", "messages"]


def test_an_unknown_vhost_is_empty_for_rabbitmqctl_only(
    api: FakeApi, ctl: Run, leveret: Run
) -> None:
    """rabbitmqctl takes an unknown vhost for an empty one; leveret says that there is none."""
    assert ctl("list_queues", "-q", "-p", "none").code == 0
    ran = leveret("list_queues", "-p", "none")
    assert (ran.code, ran.err) == (69, 'leveret: no virtual host "none"\n')


@pytest.mark.parametrize(
    ("value", "in_table"),
    [
        (None, ""),
        ("", ""),
        ({}, ""),
        ([], ""),
        (0, "0"),
        (False, "false"),
        ({"a": ["b"]}, '{"a":["b"]}'),
    ],
)
def test_values_of_leveret(value: Any, in_table: str) -> None:
    """A person sees nothing where there is nothing, and JSON where there is more than one value."""
    assert text(value, Kind.PLAIN, Voice.LEVERET) == in_table
    assert document(value, Kind.PLAIN, Voice.LEVERET) == value


@pytest.mark.parametrize(
    ("kind", "value", "in_table", "in_json"),
    [
        (Kind.PLAIN, None, "", ""),
        (Kind.PLAIN, True, "true", True),
        (Kind.PLAIN, 1.5, "1.5", 1.5),
        (Kind.TAGS, ["a", "b"], "[a, b]", ["a", "b"]),
        (Kind.TAGS, "a,b", "[a, b]", ["a", "b"]),
        (Kind.DOCUMENT, {"a": "ü"}, '{"a":"ü"}', '{"a":"ü"}'),
        (Kind.PROTOCOL, "AMQP 0-9-1", "{0,9,1}", [0, 9, 1]),
        (Kind.ADDRESS, "127.0.0.1", "127.0.0.1", [127, 0, 0, 1]),
        (Kind.ADDRESS, "::1", "::1", [0, 0, 0, 0, 0, 0, 0, 1]),
        (Kind.ADDRESS, "unknown", "unknown", "unknown"),
        (Kind.ARGUMENTS, {}, "[]", []),
        (
            Kind.ARGUMENTS,
            {"s": 'a"b\\', "n": 2**31, "b": False, "l": [1, "x"]},
            r'[{"s","a\"b\\"},{"n",2147483648},{"b",false},{"l",[1,"x"]}]',
            [
                ["s", "longstr", 'a"b\\'],
                ["n", "long", 2**31],
                ["b", "bool", False],
                ["l", "array", [["signedint", 1], ["longstr", "x"]]],
            ],
        ),
    ],
)
def test_values_of_rabbitmqctl(kind: Kind, value: Any, in_table: str, in_json: Any) -> None:
    """Values are written as rabbitmqctl writes them, in tables and in JSON."""
    assert text(value, kind, Voice.RABBITMQ) == in_table
    assert document(value, kind, Voice.RABBITMQ) == in_json


@pytest.mark.parametrize("shown", ["\t", "\n", "\r", "\x1b[2J", "\x9b1m", "\u202e", "\x7f"])
def test_no_control_character_reaches_a_terminal(shown: str) -> None:
    """What could move the cursor, or turn the text around, is escaped; letters are not."""
    assert printable(f"é中{shown}").startswith("é中\\")
    assert all(letter.isprintable() for letter in printable(shown))
