"""The modules of the page that compute: run in the browser, where they belong."""

from typing import Any

from .browser import Browser


def compute(page: Browser, module: str, expression: str) -> Any:
    """Evaluate an expression over what a module exports, `m`."""
    script = """
    const [module, expression, done] = arguments;
    import(new URL(module, document.baseURI)).then((m) => done(measure(m)), (e) => done(`${e}`));
    """
    # An expression as text would need eval, which the page's policy forbids: it is part of the
    # script that the driver runs.
    function = f"const measure = (m) => ({expression});"
    return page.driver.execute_async_script(function + script, module, expression)


def test_names_in_addresses(page: Browser) -> None:
    """Every name is one segment of an address, whatever is in it."""
    path = compute(page, "js/api.js", "m.path`/queues/${'/'}/${'a/b?c#d%'}`")
    assert path == "/queues/%2F/a%2Fb%3Fc%23d%25"
    attempt = "(() => { try { return m.path`/${'..'}` } catch ({ message }) { return message } })()"
    assert "cannot be part of an address" in compute(page, "js/api.js", attempt)


def test_layout_overlaps_nothing(page: Browser) -> None:
    """No two boxes overlap and none is outside, also where exchanges form a circle."""
    nodes = [{"id": f"e:{n}", "kind": "exchange", "name": f"{n}"} for n in range(6)]
    nodes += [{"id": f"q:{n}", "kind": "queue", "name": f"{n}"} for n in range(15)]
    edges = [{"from": f"e:{n}", "to": f"e:{(n + 1) % 6}"} for n in range(6)]
    edges += [{"from": f"e:{n % 6}", "to": f"q:{(n * 7) % 15}"} for n in range(30)]
    expression = (
        f"(({{places, ...rest}}) => ({{places: [...places], ...rest}}))(m.layout({nodes}, {edges}))"
    )
    drawn = compute(page, "js/layout.js", expression)
    box = compute(page, "js/layout.js", "m.BOX")
    places = {name: (place["x"], place["y"]) for name, place in drawn["places"]}
    assert len(places) == len(nodes)
    for name, (x, y) in places.items():
        assert 0 <= x <= drawn["width"] - box["width"]
        assert 0 <= y <= drawn["height"] - box["height"]
        for other, (x2, y2) in places.items():
            apart = abs(x - x2) >= box["width"] or abs(y - y2) >= box["height"]
            assert name == other or apart, (name, other)
    assert len({places[f"q:{n}"][0] for n in range(15)}) == 1


def test_rates_from_counters(page: Browser) -> None:
    """Samples of a counter become rates, oldest first; a reset is no negative rate."""
    samples = [
        {"sample": 5, "timestamp": 20_000},
        {"sample": 150, "timestamp": 15_000},
        {"sample": 100, "timestamp": 10_000},
    ]
    rates = compute(page, "js/chart.js", f"m.rates({{ samples: {samples} }})")
    assert rates == [{"t": 15_000, "v": 10}, {"t": 20_000, "v": 0}]


def test_numbers_in_words(page: Browser) -> None:
    """Sizes, rates and spans are short, and nothing measured is not zero."""
    said = compute(
        page,
        "js/format.js",
        "[m.bytes(0), m.bytes(1536), m.bytes(5e9), m.rate(0), m.rate(3.14), m.rate(12345),"
        " m.duration(90061000), m.count(undefined), m.plural(1, 'policy'), m.plural(2, 'policy')]",
    )
    sizes = ["0 B", "1.5 KiB", "4.7 GiB"]
    rates = ["0/s", "3.1/s", "12.3K/s"]
    assert said == [*sizes, *rates, "1 d 1 h", "\N{EN DASH}", "1 policy", "2 policies"]


def test_what_is_open_from_what_came_and_went(page: Browser) -> None:
    """What came less what went is what is there; before the start nothing was measured."""

    def samples(*values: int) -> str:
        listed = [{"sample": value, "timestamp": at} for at, value in enumerate(values)]
        return f"{{ samples: {listed[::-1]} }}"

    opened = f"m.differences({samples(0, 4, 9)}, {samples(0, 1, 7)}).map(({{ v }}) => v)"
    assert compute(page, "js/chart.js", opened) == [0, 3, 2]
    used = f"m.levelsSinceStart({samples(0, 0, 5, 0)}).map(({{ v }}) => v)"
    assert compute(page, "js/chart.js", used) == [None, None, 5, 0]
