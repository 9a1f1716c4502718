"""One self-contained HTML page: words, tables and figures; nothing is fetched when it is read."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from recurnn.errors import ConfigError, DataError
from recurnn.files import replacing, write_all
from recurnn.insight.figure import Figure
from recurnn.insight.verdicts import Verdict

# Not even a mistake can make the page ask for something.
PAGES = (".html", ".htm")
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)
_SHELL = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="soft">{subtitle}</p>
</header>
<nav><div>{links}</div></nav>
<main>
{body}
</main>
<footer>{footer}</footer>
<script>{plotly}</script>
<script>{script}</script>
</body>
</html>
"""


class Page:
    """A page that is put together from the top down.

    Args:
        title: of the page.
        subtitle: a sentence below it.

    Raises:
        ConfigError: plotly is not installed.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self._plotly = _library()
        self.title, self.subtitle = title, subtitle
        self._parts: list[str] = []
        self._links: list[str] = []
        self._figures = 0

    def section(self, title: str, words: str = "") -> None:
        """Begin a section, which the bar at the top leads to."""
        place = f"section-{len(self._links) + 1}"
        self._links.append(f'<a href="#{place}">{_text(title)}</a>')
        self._parts.append(f'<h2 id="{place}">{_text(title)}</h2>')
        if words:
            self._parts.append(f"<p>{_text(words)}</p>")

    def heading(self, title: str) -> None:
        """Begin a part of a section."""
        self._parts.append(f"<h3>{_text(title)}</h3>")

    def words(self, text: str) -> None:
        """A paragraph."""
        self._parts.append(f"<p>{_text(text)}</p>")

    def items(self, lines: Sequence[str]) -> None:
        """Sentences, one below the other."""
        each = "".join(f"<li>{_text(line)}</li>" for line in lines)
        self._parts.append(f"<ul>{each}</ul>")

    def verdicts(self, found: Sequence[Verdict]) -> None:
        """What is wrong, each with what to try; or that nothing is."""
        for verdict in found:
            where = f" · {_text(verdict.layer)}" if verdict.layer else ""
            advice = "".join(f"<li>{_text(one)}</li>" for one in verdict.advice)
            self._parts.append(
                f'<div class="verdict"><p><b>{_text(verdict.name)}</b>{where}</p>'
                f"<p>{_text(verdict.text[0].upper() + verdict.text[1:])}</p>"
                + (f"<ul>{advice}</ul>" if advice else "")
                + "</div>"
            )
        if not found:
            self._parts.append(
                '<div class="verdict good"><p><b>nothing wrong was found</b></p></div>'
            )

    def table(self, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A table; what looks like a number is set to the right."""

        def cell(tag: str, value: Any, right: bool) -> str:
            kind = ' class="number"' if right else ""
            return f"<{tag}{kind}>{_text(value)}</{tag}>"

        right = [k > 0 and len(head) > 2 for k in range(len(head))]
        lines = ["".join(cell("th", h, r) for h, r in zip(head, right, strict=True))]
        lines += [
            "".join(cell("td", v, r) for v, r in zip(row, right, strict=True)) for row in rows
        ]
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        self._parts.append(f'<div class="scroll"><table>{body}</table></div>')

    def settings(self, values: Mapping[str, Any]) -> None:
        """Names and values, a line each."""
        self.table(["option", "value"], [(k, v) for k, v in values.items()])

    def figures(self, *figures: Figure) -> None:
        """Figures side by side where there is room."""
        inner = "".join(self._figure(figure) for figure in figures)
        self._parts.append(f'<div class="pair">{inner}</div>' if len(figures) > 1 else inner)

    def _figure(self, figure: Figure) -> str:
        self._figures += 1
        name = f"figure-{self._figures}"
        made = figure.plotly()
        data = str(made.to_json()).replace("</", "<\\/")
        height = f"{made.layout.height or 340}px"
        return (
            f"<figure><figcaption><b>{_text(figure.title)}</b><span>{_text(figure.note)}</span>"
            f'</figcaption><div class="plot" id="{name}-plot" data-figure="{name}" '
            f'style="height:{height}"></div>'
            f'<script type="application/json" id="{name}">{data}</script></figure>'
        )

    def html(self) -> str:
        """The page as text."""
        here = files("recurnn.insight")
        return _SHELL.format(
            policy=html.escape(_POLICY),
            title=_text(self.title),
            subtitle=_text(self.subtitle),
            style=here.joinpath("page.css").read_text(encoding="utf-8"),
            links="".join(self._links),
            body="\n".join(self._parts),
            footer="Made by recurnn. The page holds all it shows; nothing is fetched.",
            plotly=self._plotly,
            script=here.joinpath("page.js").read_text(encoding="utf-8"),
        )

    def write(self, file: str | Path, *, overwrite: bool = False) -> None:
        """Write the page, whole or not at all.

        Raises:
            DataError: the file exists, or cannot be written.
        """
        file = Path(file)
        check_free(file, overwrite=overwrite)
        data = self.html().encode("utf-8")
        try:
            with replacing(file) as out:
                write_all(out, data)
        except OSError as error:
            raise DataError(f"{file} cannot be written: {error.strerror}.") from error


def check_free(file: Path, *, overwrite: bool) -> None:
    """Refuse a file that must not be written to, before anything is computed.

    Raises:
        DataError: it is not named as a page, it exists and `overwrite` is false, it is a folder,
            or its folder is missing.
    """
    if file.is_dir():
        raise DataError(f"{file} is a folder.\n  Give the name of a file to write.")
    if file.suffix.lower() not in PAGES:
        raise DataError(
            f"{file} is not a name of a page; expected one that ends in {' or '.join(PAGES)}.\n  "
            "Nothing was written. A browser prints it as PDF; --figures writes PNG and CSV."
        )
    if file.exists() and not overwrite:
        raise DataError(
            f"{file} exists.\n  Nothing was written. Give another file, or allow overwriting "
            "(--overwrite)."
        )
    if not file.absolute().parent.is_dir():
        raise DataError(f"{file} cannot be written: there is no folder {file.parent}.")


def _library() -> str:
    """The text of plotly.js, from the Python package."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ConfigError(
            "The page needs plotly, which is not installed.\n  pip install 'recurnn[insight]' has "
            "it. PNGs and tables do without (--figures FOLDER)."
        ) from error
    return str(get_plotlyjs())


def _text(value: Any) -> str:
    return html.escape(str(value))
