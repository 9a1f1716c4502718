"""Files of pairs: every format, with and without a header, and the roles of columns."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from recurnn.data.pairs import SOURCE, TARGET, Rows, read_rows, roles
from recurnn.errors import DataError

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


def test_an_archive_of_features_and_texts(tmp_path):
    file = tmp_path / "captions.npz"
    np.savez(file, features=np.arange(6.0).reshape(2, 3), caption=np.array(["a dog", "a cat"]))
    rows = read_rows(file)
    assert rows.texts("caption") == ["a dog", "a cat"]
    np.testing.assert_array_equal(rows.column("features"), [[0, 1, 2], [3, 4, 5]])
    assert rows.at(1) == f"{file}, row 1"


def test_an_archive_of_points_laid_end_to_end(tmp_path):
    file = tmp_path / "strokes.npz"
    x, y = np.arange(10.0).reshape(5, 2), np.array([7, 8])
    np.savez(file, train_x=x, train_len=np.array([2, 3]), train_y=y,
             test_x=x[:1], test_len=np.array([1]), test_y=y[:1])  # fmt: skip
    rows = read_rows(file)
    assert [len(points) for points in rows.column("x")] == [2, 3, 1]
    np.testing.assert_array_equal(rows.column("x")[1], x[2:])
    assert rows.texts("y") == ["7", "8", "7"]


def test_a_ts_file(tmp_path):
    file = tmp_path / "walks.ts"
    file.write_text(
        "@univariate false\n@dimensions 2\n@classLabel true up down\n@data\n"
        "1,2,3:4,5,6:up\n3,2:1,0:down\n"
    )
    rows = read_rows(file)
    assert rows.texts("label") == ["up", "down"]
    np.testing.assert_array_equal(rows.column("sequence")[0], [[1, 4], [2, 5], [3, 6]])


def test_arrays_of_unequal_number(tmp_path):
    file = tmp_path / "odd.npz"
    np.savez(file, features=np.zeros((2, 3)), caption=np.array(["a dog"]))
    with pytest.raises(DataError) as caught:
        read_rows(file)
    assert str(caught.value) == (
        f"{file}: the arrays do not fit together.\n"
        "  They are features [2, 3], caption [1]; expected N rows in each."
    )
