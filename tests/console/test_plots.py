"""What of a plot is said in words and as a table."""

from __future__ import annotations

import flask

from api.console import assets, shown
from api.console.plots import MOST_ROWS, Plot


def test_a_plot_says_in_words_what_one_sees() -> None:
    cpu = Plot("CPU", "cores", {"CPU": [(1_000, 0.5), (2_000, 1.5)]}, 0, 3_000)
    both = Plot("Latency", "seconds", {"p50": [(1, 0.2)], "p99": [(1, 3.0)], "none": []}, 0, 9)

    assert cpu.summary == "1 core on average, 1.5 cores at most"
    assert both.summary == (
        "p50: 0.2 s on average, 0.2 s at most · p99: 3.0 s on average, 3.0 s at most"
    )


def test_a_table_has_some_of_many_points_the_newest_first() -> None:
    plot = Plot("Memory", "bytes", {"Memory": [(n, n * 1024) for n in range(1_000)]}, 0, 1_000)

    rows = plot.rows

    assert len(rows) <= MOST_ROWS
    assert rows[0] == (999, ["999.0 KiB"])


def test_where_a_series_has_no_point_its_table_has_a_dash() -> None:
    plot = Plot("Jobs", "count", {"a": [(1, 5)], "b": [(2, 7)]}, 0, 3)

    assert plot.rows == [(2, ["\N{EN DASH}", "7"]), (1, ["5", "\N{EN DASH}"])]


def test_a_hostile_name_of_a_series_ends_no_script(app: flask.Flask) -> None:
    name = "</script><script>alert(1)</script>"
    template = '{% import "console/plot.html" as plots with context %}{{ plots.plot("p", one) }}'

    with app.test_request_context("/console/jobs"):
        plot = Plot(name, "count", {name: [(1, 1)]}, 0, 2)
        text = flask.render_template_string(template, one=plot, **_words(app))

    assert "<script>alert" not in text


def _words(app: flask.Flask) -> dict[str, object]:
    return {"asset": assets.url} | shown.FILTERS
