"""The parts of the README that come from the code. ``python tests/generated.py`` renews them."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from recurnn import cells, compiler
from recurnn.cli.cells import engines, example, parameters_per_unit

README = Path(__file__).parent.parent / "README.md"

# Surnames and year; that the cell's own docstring has them is checked when the table is made.
PAPERS = {
    "elman": "Elman 1990",
    "layernorm-elman": "Ba, Kiros & Hinton 2016",
    "jordan": "Jordan 1986",
    "lstm": "Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000",
    "peephole-lstm": "Gers & Schmidhuber 2000; Graves 2013",
    "coupled-lstm": "Greff, Srivastava, Koutník, Steunebrink & Schmidhuber 2017",
    "projected-lstm": "Sak, Senior & Beaufays 2014",
    "layernorm-lstm": "Ba, Kiros & Hinton 2016",
    "nested-lstm": "Moniz & Krueger 2017",
    "residual-lstm": "Kim, El-Khamy & Lee 2017",
    "gru": "Cho et al. 2014",
    "reset-before-gru": "Cho et al. 2014",
    "lstm-1997": "Hochreiter & Schmidhuber 1997",
    "multiplicative-lstm": "Krause, Lu, Murray & Renals 2016",
    "working-memory-lstm": "Landi, Baraldi, Cornia & Cucchiara 2021",
    "slstm": "Beck et al. 2024",
    "layernorm-gru": "Ba, Kiros & Hinton 2016",
    "mgu": "Zhou, Wu, Zhang & Zhou 2016",
    "janet": "van der Westhuizen & Lasenby 2018",
    "li-gru": "Ravanelli, Brakel, Omologo & Bengio 2018",
    "ugrnn": "Collins, Sohl-Dickstein & Sussillo 2017",
    "minimal-rnn": "Chen 2017",
    "light-ru": "Ye et al. 2024",
    "atr": "Zhang, Xiong, Su, Lin & Zhang 2018",
    "star": "Turkoglu, D'Aronco, Wegner & Schindler 2019",
    "sgrn": "Zu & Wei 2021",
    "multiplicative-rnn": "Sutskever, Martens & Hinton 2011",
    "mi-rnn": "Wu, Zhang, Zhang, Bengio & Salakhutdinov 2016",
    "delta-rnn": "Ororbia, Mikolov & Reitter 2017",
    "sgu": "Gao & Glowacka 2016",
    "ran": "Lee, Levy & Zettlemoyer 2017",
    "cfn": "Laurent & von Brecht 2017",
    "indrnn": "Li, Li, Cook, Zhu & Gao 2018",
    "sru": "Lei, Zhang, Wang, Dai & Artzi 2018",
    "qrnn": "Bradbury, Merity, Xiong & Socher 2017",
    "t-rnn": "Balduzzi & Ghifary 2016",
    "min-gru": "Feng et al. 2024",
    "min-lstm": "Feng et al. 2024",
    "rg-lru": "De et al. 2024",
    "brc": "Vecoven, Ernst & Drion 2021",
    "nbrc": "Vecoven, Ernst & Drion 2021",
    "fast-rnn": "Kusupati et al. 2018",
    "fast-grnn": "Kusupati et al. 2018",
    "leaky-rnn": "Jaeger, Lukoševičius, Popovici & Siewert 2007",
    "plrnn": "Durstewitz 2017",
    "antisymmetric-rnn": "Chang, Chen, Haber & Chi 2019",
    "gated-antisymmetric-rnn": "Chang, Chen, Haber & Chi 2019",
    "lipschitz-rnn": "Erichson et al. 2021",
    "lem": "Rusch, Mishra, Erichson & Mahoney 2022",
    "cfc": "Hasani et al. 2022",
    "cornn": "Rusch & Mishra 2021",
    "unicornn": "Rusch & Mishra 2021",
    "clockwork": "Koutník, Greff, Gomez & Schmidhuber 2014",
    "phased-lstm": "Neil, Pfeiffer & Liu 2016",
    "scrn": "Mikolov, Joulin, Chopra, Mathieu & Ranzato 2015",
    "lmu": "Voelker, Kajić & Eliasmith 2019",
    "rhn": "Zilly, Srivastava, Koutník & Schmidhuber 2017",
    "intersection-rnn": "Collins, Sohl-Dickstein & Sussillo 2017",
    "mut1": "Jozefowicz, Zaremba & Sutskever 2015",
    "mut2": "Jozefowicz, Zaremba & Sutskever 2015",
    "mut3": "Jozefowicz, Zaremba & Sutskever 2015",
    "nas": "Zoph & Le 2017",
}


def cells_table() -> str:
    """A row for each built-in cell, from its class."""
    rows = ["| name | class | paper | weights a unit | engines |", "|---|---|---|---|---|"]
    for name, cell in cells.CELLS.items():
        for word in re.findall(r"[^\W\d]{3,}|\d{4}", PAPERS[name]):
            assert word in (cell.__doc__ or ""), f"{name}: {word} is not in its docstring"
        made = example(name)
        rows.append(
            f"| `{name}` | `{cell.__name__}` | {PAPERS[name]} | {parameters_per_unit(made)} "
            f"| {engines(made)} |"
        )
    return "\n".join(rows)


def kernel_excerpt() -> str:
    """The body of the forward phase of the LSTM's kernel, as it is compiled."""
    forward = compiler.show(cells.LSTM(3, 4, device="meta"), "kernel")
    phase = forward[forward.index("struct Phase0_H {") :]
    first = phase.index("static void body")
    body = phase[first : phase.index("static int64_t room", first)]
    return "```cpp\n" + textwrap.dedent(" " * 4 + body).rstrip() + "\n```"


BLOCKS = {"cells": cells_table, "kernel": kernel_excerpt}
"""What stands between ``<!-- name -->`` and ``<!-- /name -->``."""


def between(text: str, name: str) -> str:
    """The text between the marks of a name."""
    first, last = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    return text[text.index(first) + len(first) : text.index(last)]


def renewed(text: str) -> str:
    """The text with every block made anew."""
    for name, make in BLOCKS.items():
        mark = f"<!-- {name} -->\n"
        text = text.replace(mark + between(text, name), f"{mark}{make()}\n")
    return text


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
