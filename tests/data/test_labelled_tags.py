"""Readers of sequences with a tag for every step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recurnn.data.labelled import Roles
from recurnn.data.labelled_tags import read_tagged
from recurnn.errors import ConfigError, DataError, RecurnnError

CONLL = "-DOCSTART- -X- O\n\nAnn NNP B-PER\nwent VBD O\n\n\n# NN O\nRome NNP B-LOC\n"
CONLLU = (
    "# text = du coup\n"
    "1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\tde\tde\tADP\tP\t_\t3\tcase\t_\t_\n"
    "2\tle\tle\tDET\tD\t_\t3\tdet\t_\t_\n"
    "3\tcoup\tcoup\tNOUN\tN\t_\t0\troot\t_\t_\n"
    "3.1\t_\t_\t_\t_\t_\t_\t_\t_\t_\n"
)


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def lists(labels: np.ndarray) -> list[list[object]]:
    return [list(tags) for tags in labels]


def test_columns_separated_by_blanks(tmp_path):
    found = read_tagged(written(tmp_path / "ner.conll", "# a comment\n" + CONLL))
    assert found.sequences == [["Ann", "went"], ["#", "Rome"]]
    assert lists(found.labels) == [["B-PER", "O"], ["O", "B-LOC"]]
    assert found.places == ["line 4", "line 8"]
    assert found.notes == ("3 columns: the word in column 1, its tag in column 3",)


def test_columns_separated_by_tabs_and_named_by_number(tmp_path):
    text = "#\tSYM\t$\nNew York\tPROPN\tNNP\n\nis\tAUX\tVBZ"
    found = read_tagged(written(tmp_path / "pos.tsv", text), Roles(label=("2",)))
    assert found.sequences == [["#", "New York"], ["is"]]
    assert lists(found.labels) == [["SYM", "PROPN"], ["AUX"]]


def test_conllu(tmp_path):
    found = read_tagged(written(tmp_path / "fr.conllu", CONLLU))
    assert found.sequences == [["de", "le", "coup"]]
    assert lists(found.labels) == [["ADP", "DET", "NOUN"]]


def test_json_lines(tmp_path):
    text = '{"id": 1, "tokens": ["a", "b"], "ner_tags": ["O", "B-x"]}\n'
    found = read_tagged(written(tmp_path / "x.jsonl", text))
    assert found.sequences == [["a", "b"]]
    assert lists(found.labels) == [["O", "B-x"]]
    assert found.columns["id"].tolist() == [1]


def test_the_long_form(tmp_path):
    text = "id,t,a,b,tag\nq,2,3,4,up\nq,1,1,2,down\np,1,5,6,up\n"
    found = read_tagged(written(tmp_path / "f.csv", text))
    assert [x.tolist() for x in found.sequences] == [[[1, 2], [3, 4]], [[5, 6]]]
    assert lists(found.labels) == [["down", "up"], ["up"]]
    assert found.places == ["line 2 (q)", "line 4 (p)"]
    text = "sid;word;tag\n1;the;DET\n1;sea;NOUN\n2;it;PRON\n"
    found = read_tagged(written(tmp_path / "w.csv", text))
    assert found.sequences == [["the", "sea"], ["it"]]


def test_npz(tmp_path):
    x = np.arange(10.0).reshape(5, 2)
    np.savez(tmp_path / "a.npz", x=x, len=[2, 3], y=[0, 1, 1, 0, 1], labels=["no", "yes"])
    found = read_tagged(tmp_path / "a.npz")
    assert [v.tolist() for v in found.sequences] == [x[:2].tolist(), x[2:].tolist()]
    assert lists(found.labels) == [["no", "yes"], ["yes", "no", "yes"]]
    np.savez(tmp_path / "b.npz", x=np.ones((2, 3, 1)), y=[[0, 1, 1], [1, 0, 0]])
    assert lists(read_tagged(tmp_path / "b.npz").labels) == [[0, 1, 1], [1, 0, 0]]


def test_without_tags(tmp_path):
    bare = written(tmp_path / "bare.txt", "the\nsea\n\nrain\n")
    found = read_tagged(bare, Roles(sequence=("1",), label=("2",)), needed=False)
    assert found.sequences == [["the", "sea"], ["rain"]]
    assert found.labels is None


@pytest.mark.parametrize(
    ("name", "text", "kind", "roles", "message"),
    [
        ("a.conll", "the DET\nsea\n", DataError, {},
         "FILE: line 2 has 1 column, line 1 has 2 columns.\n  Every word has as many; an empty "
         "line ends a sentence."),
        ("a.conll", "the\nsea\n", DataError, {},
         "FILE: there is no column of tags.\n  Its lines have 1 column; the word is column 1."),
        ("a.conll", "\n\n", DataError, {}, "FILE: there are no sentences."),
        ("a.conll", "the DET\n", ConfigError, {"label": ("3",)},
         "FILE: there is no column '3'.\n  Its lines have 2 columns, which are named by their "
         "number, counted from 1."),
        ("a.jsonl", '{"tokens": ["a"], "tags": ["O"]}\n{"tokens": ["a", "b"], "tags": ["O"]}\n',
         DataError, {},
         "FILE: line 2 has 2 steps and 1 tag.\n  Every step has one tag: give two lists of equal "
         "length."),
        ("a.jsonl", '{"tokens": ["a"], "of": ["O"]}\n', DataError, {},
         "FILE: which key holds the tags cannot be told.\n  Keys: tokens, of.\n  Name it: --label "
         "NAME."),
        ("a.conll", "the DET\n", DataError, {"sequence": ("2",), "label": ("4",), "columns": 10},
         "FILE: its lines have 2 columns; the model was trained on lines of 10.\n  There the word "
         "is column 2 and its tag column 4. Give such a file, or say what is where: --column and "
         "--label."),
        ("a.jsonl", '{"a": ["a"], "of": ["O"]}\n', DataError, {"sequence": ("tokens",)},
         "FILE: there is no key 'tokens' for the words.\n  It is named by an option or by the file "
         "that the model was trained on.\n  Keys: a, of.\n  Name another: --column NAME."),
        ("a.csv", "sid,w,t\n1,x,A\n", DataError,
         {"sequence": ("word",), "label": ("tag",), "unique_id": "sid"},
         "FILE: there is no column 'word'.\n  Expected, as the options or the file that the model "
         "was trained on name them: word, tag, sid.\n  Columns: sid, w, t.\n  Rename them, or say "
         "which is which: --column, --label, --id, --step."),
        ("a.csv", "a,tag\n1,x\n2,y\n", DataError, {},
         "FILE: which column tells the sequences apart cannot be told.\n  Columns: a, tag.\n  "
         "Name it: --id NAME."),
        ("a.csv", "id,a,tag\nq,1,x\nq,2,\n", DataError, {},
         "FILE: the label at line 3 is missing (column 'tag').\n  Leave that sequence out."),
    ],
)  # fmt: skip
def test_messages(tmp_path, name, text, kind: type[RecurnnError], roles, message):
    file = written(tmp_path / name, text)
    with pytest.raises(kind) as caught:
        read_tagged(file, Roles(**roles))
    assert str(caught.value).replace(str(file), "FILE") == message


@pytest.mark.data
def test_universal_dependencies_as_they_lie_there(data_dir):
    found = read_tagged(data_dir / "ud_english_ewt" / "test.tsv.xz", Roles(label=("2",)))
    assert len(found) == 2077
    assert sum(map(len, found.sequences)) == 25094
    assert len({tag for tags in found.labels for tag in tags}) == 17
