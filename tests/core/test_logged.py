"""Ids of messages outside memory: in order, each in one place, however often it was copied."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from broker.core.logged import Logged


def add(logged: Logged, place: int, *ids: int) -> None:
    """Messages of one size in a place."""
    logged.add(place, array("Q", ids), array("Q", [7] * len(ids)))


def held(logged: Logged) -> list[tuple[int, int]]:
    """What is left at the end, as (id, place) in the order of the pages."""
    logged.finish()
    return [
        (message_id, place)
        for _, page in logged.pages()
        for message_id, place in zip(
            page.ids,
            page.places if len(page.places) > 1 else [page.places[0]] * len(page),
            strict=True,
        )
    ]


def test_a_place_with_copies_and_new_messages() -> None:
    """Copies of a later place stand between them, and are settled there."""
    logged = Logged()
    add(logged, 1, 10, 90)  # a copy of a message whose first place is not there any more
    add(logged, 2, 20, 30, 95)
    add(logged, 3, 25)
    logged.settle([30, 90])
    assert held(logged) == [(10, 1), (20, 2), (25, 3), (95, 2)]


def test_copying_much_makes_few_runs() -> None:
    """What replaces many runs is one, so that recovery needs little memory."""
    logged = Logged()
    for place in range(100):
        add(logged, place + 1, *range(place * 20, place * 20 + 20))
    logged.settle(list(range(0, 2000, 7)))
    left = [message_id for message_id in range(2000) if message_id % 7]
    add(logged, 200, *left)
    assert held(logged) == [(message_id, 200) for message_id in left]
    assert len(logged.runs) == 1


def test_a_priority_above_the_highest_counts_as_the_highest() -> None:
    """Messages of both stand in one order, that of their ids."""
    logged = Logged()
    for message_id, priority in enumerate((3, 2, 1, 2, 3)):
        logged.add(1, array("Q", [message_id]), array("Q", [priority << 32 | 7]))
    logged.finish()
    pages = [(priority, list(page.ids)) for priority, page in logged.pages(2)]
    assert pages == [(1, [2]), (2, [0, 1, 3, 4])]


steps = st.lists(
    st.tuples(st.booleans(), st.sets(st.integers(0, 60), min_size=1, max_size=12)), max_size=25
)


@given(steps)
def test_it_is_a_dict_from_id_to_place(program: list[tuple[bool, set[int]]]) -> None:
    """Whatever is added, added again and settled, the newest place of each message counts."""
    logged, expected = Logged(), dict[int, int]()
    for place, (adds, ids) in enumerate(program, start=1):
        if adds:
            add(logged, place, *sorted(ids))
            expected |= dict.fromkeys(ids, place)
        else:
            logged.settle(sorted(ids, key=lambda message_id: message_id % 7))
            for message_id in ids:
                expected.pop(message_id, None)
    assert held(logged) == sorted(expected.items())
