"""Every figure: drawn by both libraries, with the numbers that its table has."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import torch

from recurnn import Subject, cells, insight
from recurnn.insight import figures
from recurnn.insight.comparison import Adding, LastStep
from recurnn.insight.figure import Bars, Figure, Heatmap, Lines, Panels
from recurnn.insight.report import named_figures, save_figures


@pytest.fixture(scope="module")
def found() -> insight.Inspection:
    torch.manual_seed(1)
    data = Adding(16, 6)
    network = LastStep(cells.LSTM(2, 5), engine="reference")
    rows = [{"step": k, "loss": 1 / (k + 1), "gradient": 0.5, "update": 0.01} for k in range(9)]
    subject = Subject(network, data.x, data.y, lag=15, name="adding")
    return insight.inspect(subject, course=insight.Course(rows, clip=1.0))


def others() -> dict[str, Figure]:
    table = pd.DataFrame({"lag": [1, 10], "layer": ["a", "a"], "left": [0.5, 1e-4]})
    units = pd.DataFrame({"feature": ["x", "y"], "of": ["h", "c"], "unit": [3, 0],
                          "correlation": [0.9, -0.4], "chance": [0.1, 0.1]})  # fmt: skip
    return {
        "sweep": figures.sweep_figure(table),
        "tracking": figures.tracking_figure(units),
        "text": figures.text_figure("hello\nyou", np.linspace(-1, 2, 9)),
        "attention": figures.attention_figure(np.eye(2), ["a", "b"], ["c", "d"]),
        "sigmoid": figures.sigmoid_figure(),
        "tanh": figures.sigmoid_figure((1, 3), "tanh"),
        "nothing above zero": Lines("t", "x", "y", {"a": ([0, 1], [0.0, 0.0])}, log_y=True),
    }


def test_every_figure_of_a_report_is_drawn_twice(found, tmp_path):
    pytest.importorskip("plotly")
    names = save_figures(found, tmp_path / "new")
    assert len(names) == len(set(names)) >= 13
    for name, figure in named_figures(found):
        assert (tmp_path / "new" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        table = pd.read_csv(tmp_path / "new" / f"{name}.csv")
        assert len(table) == len(figure.frame) > 0
        assert len(figure.plotly().data) > 0
        assert figure.title


@pytest.mark.parametrize("name", others())
def test_every_other_figure_is_drawn_twice(name, tmp_path):
    pytest.importorskip("plotly")
    figure = others()[name]
    figure.save(tmp_path, "f")
    assert len(pd.read_csv(tmp_path / "f.csv")) == len(figure.frame)
    assert figure.plotly().data
    assert figure._repr_png_()[:4] == b"\x89PNG"


def drawn(figure: Figure) -> list[tuple[str, np.ndarray, np.ndarray]]:
    return [(t.name, np.asarray(t.x), np.asarray(t.y)) for t in figure.plotly().data]


def test_plotly_and_matplotlib_draw_the_numbers_of_the_table():
    pytest.importorskip("plotly")
    x, y = np.array([1.0, 2.0, 5.0]), np.array([1.0, 0.0, 1e-30])
    figure = Lines("t", "lag", "left", {"a": (x, y)}, log_y=True)
    ((name, got_x, got_y),) = drawn(figure)
    assert name == "a"
    np.testing.assert_array_equal(got_x, x)
    np.testing.assert_allclose(got_y, [1.0, np.nan, 1e-30], rtol=1e-6)  # log 0 is a gap
    (line,) = [a for a in figure.matplotlib().axes[0].lines if a.get_label() == "a"]
    np.testing.assert_array_equal(line.get_ydata(), [1.0, np.nan, 1e-30])
    assert figure.frame["left"].tolist() == [1.0, 0.0, 1e-30]
    tiny = Lines("t", "lag", "left", {"a": (x, np.array([1.0, 1e-90, 1e-200]))}, log_y=True)
    assert drawn(tiny)[0][2][2] == 1e-200


def test_a_heat_map_keeps_rows_and_columns_apart():
    pytest.importorskip("plotly")
    z = np.arange(6.0).reshape(2, 3)
    figure = Heatmap("t", "step", "unit", z, signed=True)
    (trace,) = figure.plotly().data
    np.testing.assert_array_equal(np.asarray(trace.z), z)
    assert (trace.zmin, trace.zmax) == (-5, 5)
    (image,) = figure.matplotlib().axes[0].images
    np.testing.assert_array_equal(image.get_array(), z)
    assert figure.frame.shape == (2, 4)


def test_words_on_a_logarithmic_axis_stand_where_their_line_is():
    pytest.importorskip("plotly")
    lines = Lines("t", "x", "y", {"a": ([1, 100], [1.0, 1e-6])}, log_y=True, log_x=True,
                  bands=[(0.01, "1 %")], marks=[(10.0, "lag")])  # fmt: skip
    made = lines.plotly()
    places = {a.text: (a.x, a.y) for a in made.layout.annotations}
    assert places["1 %"][1] == -2
    assert places["lag"][0] == 1
    assert {s.y0 for s in made.layout.shapes} >= {0.01}
    assert {s.x0 for s in made.layout.shapes} >= {10.0}


def test_bars_over_edges_stand_in_the_middle():
    bars = Bars("t", "value", "share", {"f": [1.0, 2.0]}, places=[0.0, 0.5, 1.0])
    assert bars.middles() == [0.25, 0.75]
    assert bars.frame["value"].tolist() == [0.25, 0.75]


def test_panels_share_an_axis_and_keep_their_order():
    pytest.importorskip("plotly")
    top, bottom = Lines("a", "x", "y", {"1": ([0], [1])}), Lines("b", "x", "z", {"2": ([0], [2])})
    panels = Panels("t", "x", "", [top, bottom], heights=(1, 3))
    made = panels.plotly()
    assert made.layout.yaxis.title.text == "y"
    assert made.layout.yaxis.domain[0] > made.layout.yaxis2.domain[1]
    assert panels.frame["panel"].tolist() == ["a", "b"]
    assert [ax.get_ylabel() for ax in panels.matplotlib().axes] == ["y", "z"]


def test_the_repeated_sigmoid_flattens_out():
    top, slopes = figures.sigmoid_figure((1, 8)).panels
    x, once = slopes.lines["1 time"]
    s = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(once, s * (1 - s), rtol=1e-12)
    assert slopes.lines["8 times"][1].max() < 0.25**8
    assert np.ptp(top.lines["8 times"][1]) < 1e-4


def test_the_gradient_figure_shows_what_was_measured(found):
    flow = found.flows["layer"]
    figure = figures.gradient_figure(found.flows, lag=15)
    x, y = figure.lines["layer"]
    np.testing.assert_array_equal(x, np.arange(16))
    np.testing.assert_array_equal(y, flow.decay.curve)
    assert figure.marks == [(15, "the task's lag")]
    by_state = figures.gradient_figure(found.flows, states=True)
    assert list(by_state.lines) == ["layer h", "layer c"]
    h, c = (by_state.lines[f"layer {k}"][1] for k in "hc")
    rows = np.sqrt(flow.norms["h"] ** 2 + flow.norms["c"] ** 2) / flow.total[0]
    np.testing.assert_allclose(np.median(rows, axis=1), flow.decay.curve)
    assert (np.maximum(h, c) <= flow.decay.curve.max() * 1.0001).all()


def test_the_course_has_a_panel_for_what_is_known():
    rows = [{"step": 0, "validation": 0.9}, {"step": 1, "loss": 0.5, "validation": 0.4}]
    assert isinstance(figures.course_figure(insight.Course(rows)), Lines)
    more = [{"step": 1, "loss": 0.5, "gradient": 2.0}]
    panels = figures.course_figure(insight.Course(more, clip=1.0)).panels
    assert [p.title for p in panels] == ["Loss", "Norm of the gradient"]
    assert panels[1].bands == [(1.0, "clip")]


@pytest.mark.parametrize("panels", [False, True])
def test_the_legend_stands_beside_the_lines_and_in_the_picture(panels):
    lines = Lines("t", "x", "y", {k: ([0, 1], [0.0, 1.0]) for k in ("layer 0", "layer 1")})
    drawn = (Panels("t", "x", "y", [lines, lines]) if panels else lines).matplotlib()
    drawn.savefig(io.BytesIO())
    for ax in drawn.axes:
        legend = ax.get_legend().get_window_extent()
        assert legend.x0 >= ax.bbox.x1
        assert legend.x1 <= drawn.bbox.x1


def test_a_word_that_comes_twice_keeps_its_two_places():
    pytest.importorskip("plotly")
    z = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    made = figures.attention_figure(z, ["the", "sea", "the"], ["la", "la"]).plotly()
    (trace,) = made.data
    assert trace.x is None
    assert trace.y is None
    assert list(made.layout.xaxis.tickvals) == [0, 1, 2]
    assert list(made.layout.xaxis.ticktext) == ["the", "sea", "the"]
    assert list(made.layout.yaxis.ticktext) == ["la", "la"]
    assert list(trace.customdata[1][2]) == ["la", "the"]
    (axes, _) = figures.attention_figure(z, ["the", "sea", "the"], ["la", "la"]).matplotlib().axes
    assert [t.get_text() for t in axes.get_xticklabels()] == ["the", "sea", "the"]
