"""Readers of labelled sequences: every form of a file, and what is guessed of it."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recurnn.data.labelled import Labelled, Roles, read_labelled

TS = """# a comment
@problemName Small
@univariate false
@dimensions 2
@classLabel true up down
@data
1,2,3:4,5,6:up
7,8:9,10:down
"""


def written(path: Path, text: str) -> Path:
    if path.suffix == ".xz":
        path.write_bytes(lzma.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def arrays(found: Labelled) -> list[list[list[float]]]:
    return [np.asarray(x, dtype=float).tolist() for x in found.sequences]


LONG = "id,t,a,b,who,label\nq,2,3,4,x,no\nq,1,1,2,x,no\np,1,5,6,y,yes\n"


def test_the_long_form(tmp_path):
    found = read_labelled(written(tmp_path / "long.csv", LONG))
    assert arrays(found) == [[[1, 2], [3, 4]], [[5, 6]]]
    assert found.labels.tolist() == ["no", "yes"]
    assert found.places == ["line 2 (q)", "line 4 (p)"]
    assert found.columns["id"].tolist() == ["q", "p"]
    assert found.roles == Roles(("label",), ("a", "b"), "id", "t")
    assert "channels: a, b" in found.notes


def test_the_long_form_of_tokens(tmp_path):
    text = "sid\tword\tkind\na\tthe\t1\na\tsea\t1\nb\train\t2\n"
    found = read_labelled(written(tmp_path / "words.tsv", text), Roles(label=("kind",)))
    assert found.sequences == [["the", "sea"], ["rain"]]
    assert found.labels.tolist() == [1, 2]


def test_parquet_is_as_csv(tmp_path):
    written(tmp_path / "long.csv", LONG)
    pd.read_csv(tmp_path / "long.csv").to_parquet(tmp_path / "long.parquet")
    one, other = (read_labelled(tmp_path / f"long.{kind}") for kind in ("csv", "parquet"))
    assert arrays(one) == arrays(other)
    assert one.labels.tolist() == other.labels.tolist()
    lists = pd.DataFrame({"x": [[1.0, 2.0], [3.0]], "label": ["a", "b"]})
    lists.to_parquet(tmp_path / "lists.parquet")
    assert [list(x) for x in read_labelled(tmp_path / "lists.parquet").sequences] == [[1, 2], [3]]


def test_a_text_a_row_with_and_without_names(tmp_path):
    rows = 'Say "no", twice\tbad\nGood, very good\tgood\nNA\tbad\nnull\tgood\n'
    for text, places in ((rows, 1), (f"text\tlabel\n{rows}", 2)):
        found = read_labelled(written(tmp_path / "t.tsv", text))
        assert found.sequences == ['Say "no", twice', "Good, very good", "NA", "null"]
        assert found.labels.tolist() == ["bad", "good", "bad", "good"]
        assert found.places[0] == f"line {places}"


def test_a_label_before_the_text_and_a_name_between(tmp_path):
    text = "EI, gene-1,  ACGTACGT\nN,  gene-22, ACGGACGG\nEI, gene-3,  ACGAACGA\nN,gene-4,AAAAACCC"
    found = read_labelled(written(tmp_path / "splice.data.xz", text))
    assert found.labels.tolist() == ["EI", "N", "EI", "N"]
    assert found.sequences[0] == "ACGTACGT"
    assert found.columns["column 2"].tolist()[1] == "gene-22"


def test_quoted_fields_and_lines_in_them(tmp_path):
    text = 'text,label\n"one, two\nthree",a\nfour,b\nfive,a\n'
    found = read_labelled(written(tmp_path / "t.csv", text))
    assert found.sequences == ["one, two\nthree", "four", "five"]
    assert found.places == ["line 2", "line 4", "line 5"]


def test_numbers_side_by_side(tmp_path):
    text = "1,2,3,4,0\n5,6,7,8,1\n1.5,2,3,4,0\n9,9,9,9,1\n"
    found = read_labelled(written(tmp_path / "pen.tra", text), Roles(width=2))
    assert arrays(found)[:2] == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    assert found.labels.tolist() == [0, 1, 0, 1]
    german = written(tmp_path / "komma.csv", "1,5;2;0\n3;4;1\n3;5;0\n3;6;1\n")
    assert arrays(read_labelled(german))[0] == [[1.5], [2]]


def test_json_lines(tmp_path):
    rows = [
        {"id": 7, "frames": [[1, 2], [3, 4]], "label": "a"},
        {"id": 8, "frames": [[5, 6]], "label": "b"},
    ]
    text = "\n\n".join(map(json.dumps, rows))
    found = read_labelled(written(tmp_path / "x.jsonl", text))
    assert found.sequences == [[[1, 2], [3, 4]], [[5, 6]]]
    assert found.places == ["line 1", "line 3"]
    assert found.columns["id"].tolist() == [7, 8]


def test_ts(tmp_path):
    found = read_labelled(written(tmp_path / "small.ts", TS))
    assert arrays(found) == [[[1, 4], [2, 5], [3, 6]], [[7, 9], [8, 10]]]
    assert found.labels.tolist() == ["up", "down"]
    assert found.places == ["line 7", "line 8"]
    regression = TS.replace("@classLabel true up down", "@targetLabel true")
    regression = regression.replace(":up", ":1.5").replace(":down", ":-2")
    assert read_labelled(written(tmp_path / "r.ts", regression)).labels.tolist() == [1.5, -2]


def test_npz_end_to_end_with_parts_and_names(tmp_path):
    np.savez(
        tmp_path / "parts.npz",
        train_x=np.arange(10.0).reshape(5, 2), train_len=[2, 3], train_y=[1, 0],
        test_x=np.ones((2, 2)), test_len=[2], test_y=[1], labels=["no", "yes"],
    )  # fmt: skip
    found = read_labelled(tmp_path / "parts.npz")
    assert arrays(found) == [[[0, 1], [2, 3]], [[4, 5], [6, 7], [8, 9]], [[1, 1], [1, 1]]]
    assert found.labels.tolist() == ["yes", "no", "yes"]
    assert found.parts.tolist() == ["train", "train", "test"]
    assert found.places[2] == "row 0 of test"


def test_npz_with_columns_to_choose_from(tmp_path):
    np.savez(
        tmp_path / "c.npz", x=np.zeros((3, 4, 1)), digit=[3, 1, 3], take=[0, 5, 9],
        who=[0, 1, 1], whos=["ann", "ben"],
    )  # fmt: skip
    found = read_labelled(tmp_path / "c.npz", Roles(label=("digit",)))
    assert found.labels.tolist() == [3, 1, 3]
    assert found.columns["who"].tolist() == ["ann", "ben", "ben"]
    assert found.matching("take<5").tolist() == [True, False, False]
    assert found.matching("take >= 5").tolist() == [False, True, True]
    assert found.matching("who == ben").tolist() == [False, True, True]
    assert found.matching("who!=ben").tolist() == [True, False, False]


def test_without_labels(tmp_path):
    only = written(tmp_path / "texts.txt", "one text\nand another\n")
    roles = Roles(label=("column 2",), sequence=("column 1",), header=False)
    found = read_labelled(only, roles, needed=False)
    assert found.labels is None
    assert found.sequences == ["one text", "and another"]
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 3)))
    found = read_labelled(tmp_path / "x.npz", Roles(label=("y",)), needed=False)
    assert found.labels is None
    assert len(found) == 2


def test_a_vector_of_numbers(tmp_path):
    text = "id,x,u,v\na,1,5,6\na,2,5,6\nb,3,7,8\n"
    found = read_labelled(written(tmp_path / "v.csv", text), Roles(label=("u", "v")))
    assert found.labels.tolist() == [[5, 6], [7, 8]]
    assert arrays(found) == [[[1], [2]], [[3]]]


def test_taking_some(tmp_path):
    found = read_labelled(written(tmp_path / "small.ts", TS)).take([1])
    assert found.labels.tolist() == ["down"]
    assert found.where(0).endswith("small.ts: the sequence at line 8")


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "roles", "count", "first"),
    [
        ("japanese_vowels/JapaneseVowels.npz", Roles(), 640, "1"),
        ("pendigits/pendigits.tra.xz", Roles(width=2), 7494, 8),
        ("fsdd_mfcc/fsdd_mfcc.npz", Roles(label=("digit",)), 3000, 0),
        ("splice_junction/splice.data.xz", Roles(), 3190, "EI"),
        ("names_nationality/names.tsv.xz", Roles(), 20050, "Arabic"),
        ("uci_sentiment_sentences/amazon_cells_labelled.txt.xz", Roles(), 1000, 0),
        ("uci_sentiment_sentences/imdb_labelled.txt.xz", Roles(), 1000, 0),
        ("uci_sentiment_sentences/yelp_labelled.txt.xz", Roles(), 1000, 1),
    ],
)
def test_real_files(data_dir, file, roles, count, first):
    found = read_labelled(data_dir / file, roles)
    assert len(found) == count
    assert found.labels[0] == first
