"""Files of pairs: every format, with and without a header, and the roles of columns."""

from __future__ import annotations

import gzip

import pandas as pd
import pytest

from recurnn.data.pairs import SOURCE, TARGET, Rows, read_rows, roles

PAIRS = [("Go.", "Va !"), ('She said "no"', "Elle dit « non »")]
WANTED = {"source": (None, SOURCE), "target": (None, TARGET)}


def texts(rows: Rows, wanted=WANTED) -> list[tuple[str, str]]:
    found, _ = roles(rows, wanted)
    return list(zip(rows.texts(found["source"]), rows.texts(found["target"]), strict=True))


def test_tabs_without_names(tmp_path):
    file = tmp_path / "p.tsv.gz"
    file.write_bytes(gzip.compress("".join(f"{a}\t{b}\tCC-BY\n" for a, b in PAIRS).encode()))
    rows = read_rows(file, known=(*SOURCE, *TARGET))
    assert texts(rows) == PAIRS
    assert roles(rows, WANTED)[1] == f"{file}: source is column 1, target is column 2"
    assert rows.at(1) == f"{file}, line 2"


def test_tabs_with_known_names(tmp_path):
    file = tmp_path / "p.tsv"
    file.write_text("id\ttarget\tsource\n7\tVa !\tGo.\n")
    rows = read_rows(file, known=(*SOURCE, *TARGET))
    assert texts(rows) == [("Go.", "Va !")]
    assert rows.at(0) == f"{file}, line 2"
    assert read_rows(file, header=False).names == ["1", "2", "3"]


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_tables_with_names(tmp_path, kind):
    file = tmp_path / f"p.{kind}"
    frame = pd.DataFrame({"en": [a for a, _ in PAIRS], "fr": [b for _, b in PAIRS]})
    if kind == "csv":
        frame.to_csv(file, index=False)
    elif kind == "parquet":
        frame.to_parquet(file)
    else:
        frame.to_json(file, orient="records", lines=True, force_ascii=False)
    rows = read_rows(file)
    assert texts(rows) == PAIRS
    turned = {"source": ("fr", SOURCE), "target": (None, TARGET)}
    assert texts(rows, turned) == [(b, a) for a, b in PAIRS]


def test_numbers_of_json_are_text_where_text_is_wanted(tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_text('{"source": 12, "target": "twelve"}\n')
    assert texts(read_rows(file)) == [("12", "twelve")]
