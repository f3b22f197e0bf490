"""Definitions with one fault in them: they are refused without a trace, or are definitions, too."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.core.operations import snapshot
from broker.definitions import DefinitionError, export_all, import_all
from conformance.test_26_definitions import FULL
from tests.broker.test_definitions import NEW, OLD, broker_with, by_name, nested, salt

DOCUMENTS = (FULL, OLD, NEW)
ODD = ("", "(", "*", "a" * 300, "\ud800", "\0", "é\n", -1, 1 << 70, 1.5, float("nan"), nested(300))
VALUES = st.sampled_from(ODD) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)
Path = tuple[Any, ...]


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in a document."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(inner, (*path, key))


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[dict[str, Any], Path]:
    """A document with one value replaced, left out or there twice; and where."""
    document = copy.deepcopy(draw(st.sampled_from(DOCUMENTS)))
    path = draw(st.sampled_from(list(paths(document))))
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    what = draw(st.sampled_from(("replace", "remove", "repeat")))
    if what == "repeat" and isinstance(place, list):
        place.append(copy.deepcopy(place[path[-1]]))
    elif what == "remove":
        del place[path[-1]]
    else:
        place[path[-1]] = draw(VALUES)
    return document, path


@given(spoiled())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_one_fault(case: tuple[dict[str, Any], Path]) -> None:
    """Refused in one line with the place, nothing has changed; taken, they come out again."""
    document, path = case
    broker = broker_with(OLD)
    before = list(snapshot(broker))
    fault = ""
    try:
        import_all(broker, document, salt)
    except DefinitionError as error:
        fault = str(error)
    if fault:
        assert list(snapshot(broker)) == before
        assert len(fault.splitlines()) == 1
        assert any(section in fault for section in document) or len(path) == 1
    else:
        exported = json.loads(json.dumps(export_all(broker, "3.13.7")))
        again = export_all(broker_with(exported), "3.13.7")
        assert by_name(again) == by_name(exported)
