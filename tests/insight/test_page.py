"""The page in a browser: nothing is fetched, charts draw, hovering tells, large maps respond.

Needs playwright and a Chromium: the variable CHROMIUM names it, or it is on the path.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recurnn import Subject, cells, insight
from recurnn.insight.comparison import Adding, LastStep
from recurnn.insight.figure import Heatmap
from recurnn.insight.page import Page
from recurnn.insight.report import report

pytest.importorskip("plotly")

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update"]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    data = Adding(16, 6)
    network = LastStep(cells.LSTM(2, 5), engine="reference")
    rows = [{"step": k, "loss": 1 / (k + 1), "gradient": 0.5, "update": 0.01} for k in range(9)]
    odd = {"cell": "lstm", "odd": "</script><script>alert(1)</script>"}
    subject = Subject(network, data.x, data.y, lag=15, name="adding <b>&</b>", configuration=odd)
    found = insight.inspect(subject, course=insight.Course(rows, clip=1.0))
    file = tmp_path_factory.mktemp("page") / "report.html"
    report(found).write(file)
    return file


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    where = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if where is None:
        pytest.skip("there is no Chromium: install one, or name it in CHROMIUM")
    with api.sync_playwright() as play:
        started = play.chromium.launch(executable_path=where, args=FLAGS)
        yield started
        started.close()


class Opened:
    """A page, with everything that it complained of or asked for."""

    def __init__(self, browser: Any, file: Path, **options: Any) -> None:
        self.page = browser.new_page(**options)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.goto(file.as_uri())

    def draw_all(self) -> None:
        for plot in self.page.locator(".plot").all():
            plot.scroll_into_view_if_needed()
            plot.locator(".main-svg").first.wait_for(timeout=30000)


@pytest.fixture
def opened(browser: Any, made: Path) -> Iterator[Opened]:
    found = Opened(browser, made, viewport={"width": 1280, "height": 900})
    yield found
    found.page.close()


def test_the_page_holds_all_it_needs(made: Path) -> None:
    text = made.read_text(encoding="utf-8")
    assert 'src="http' not in text
    assert "default-src &#x27;none&#x27;" in text
    assert "adding &lt;b&gt;&amp;&lt;/b&gt;" in text
    assert "</script><script>alert" not in text


def test_it_draws_every_chart_without_an_error_or_a_request(opened: Opened, made: Path) -> None:
    opened.draw_all()
    assert opened.errors == []
    assert [r for r in opened.requests if not r.startswith(("data:", "blob:"))] == [made.as_uri()]
    plots = opened.page.locator(".plot")
    assert plots.count() >= 13
    assert opened.page.locator(".plot .main-svg").count() >= plots.count()
    assert "vanishes" in opened.page.locator(".verdict").first.inner_text()


def test_hovering_shows_the_value(opened: Opened) -> None:
    opened.draw_all()
    for number, words in (("figure-2", "share of the gradient left"), ("figure-7", "unit: ")):
        plot = opened.page.locator(f"#{number}-plot")
        plot.scroll_into_view_if_needed()
        box = plot.locator(".nsewdrag").first.bounding_box()
        opened.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        opened.page.mouse.move(box["x"] + box["width"] / 2 + 3, box["y"] + box["height"] / 2)
        label = plot.locator(".hoverlayer .hovertext")
        label.first.wait_for(timeout=5000)
        assert words in label.first.text_content()


def test_a_large_map_responds(browser: Any, tmp_path: Path) -> None:
    made = Page("Large")
    z = np.random.default_rng(0).random((512, 2000))
    made.figures(Heatmap("large", "step", "unit", z, low=0.0, high=1.0, value="f"))
    made.write(tmp_path / "large.html")
    began = time.perf_counter()
    page = Opened(browser, tmp_path / "large.html", viewport={"width": 1280, "height": 900}).page
    plot = page.locator(".plot")
    plot.locator(".heatmaplayer image").first.wait_for(state="attached", timeout=30000)
    drawn = time.perf_counter() - began
    name = plot.get_attribute("id")
    zoom = page.evaluate(
        f"""async () => {{
            const plot = document.getElementById("{name}"), began = performance.now();
            await Plotly.relayout(plot, {{"xaxis.range": [500, 700], "yaxis.range": [200, 100]}});
            return performance.now() - began;
        }}"""
    )
    box = plot.locator(".nsewdrag").first.bounding_box()
    began = time.perf_counter()
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.mouse.move(box["x"] + 205, box["y"] + 102)
    plot.locator(".hoverlayer .hovertext").first.wait_for(timeout=5000)
    hover = time.perf_counter() - began
    page.close()
    # generous, for a machine that does other things as well; by itself a tenth of these
    assert drawn < 20
    assert zoom < 3000
    assert hover < 2


def test_nothing_sticks_out_on_a_small_screen(browser: Any, made: Path) -> None:
    width = 390
    found = Opened(browser, made, viewport={"width": width, "height": 800}, has_touch=True)
    found.draw_all()
    page = found.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate(
        "[...document.querySelectorAll('.plot')].filter(p => p.scrollWidth > innerWidth).length"
    )
    assert wide == 0
    assert found.errors == []
    page.close()


def test_dark_and_print(browser: Any, made: Path) -> None:
    found = Opened(browser, made, viewport={"width": 900, "height": 800}, color_scheme="dark")
    page = found.page

    def paper() -> str:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    def ink() -> str:
        return page.evaluate(
            "document.querySelector('#figure-1-plot .xtick text, #figure-1-plot .ytick text')"
            ".style.fill"
        )

    page.locator("#figure-1-plot .main-svg").first.wait_for()
    assert paper() == "rgb(20, 24, 30)"
    assert ink() == "rgb(230, 233, 238)"
    page.emulate_media(color_scheme="light")
    page.wait_for_timeout(300)
    assert paper() == "rgb(255, 255, 255)"
    assert ink() == "rgb(29, 36, 48)"
    page.emulate_media(media="print", color_scheme="dark")
    assert paper() == "rgb(255, 255, 255)"
    pdf = page.pdf()
    assert pdf[:4] == b"%PDF"
    assert found.errors == []
    page.close()
