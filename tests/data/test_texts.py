"""Reading text and dividing it: what every kind of file becomes, and which characters go where."""

from __future__ import annotations

import gzip
import lzma

import pandas as pd
import pytest

from recurnn.data.text import Texts, python_library, read_texts, split_texts
from recurnn.errors import KindError

POEM = "虞美人\n春花秋月何时了\n"


def test_plain_text_is_one_document_with_line_feeds(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf" + "one\r\ntwo  é\n\nthree\n".encode())
    texts = read_texts(path)
    assert texts.documents == ("one\ntwo  é\n\nthree\n",)
    assert texts.names == (str(path),)
    assert read_texts(path, documents="line").documents == ("one", "two  é", "three")
    assert read_texts(path, documents="paragraph").documents == ("one\ntwo  é", "three")
    assert read_texts(path, documents="line").names[2] == f"{path}, document 2"


@pytest.mark.parametrize(("suffix", "pack"), [(".xz", lzma.compress), (".gz", gzip.compress)])
def test_packed_text_is_the_same_text(tmp_path, suffix, pack) -> None:
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(pack(POEM.encode()))
    assert read_texts(path).documents == (POEM,)
    table = tmp_path / f"b.csv{suffix}"
    table.write_bytes(pack(b"n,text\n1,x\n2,y\n"))
    assert read_texts(table, column="text").documents == ("x", "y")


def test_columns_of_tables(tmp_path) -> None:
    csv = tmp_path / "a.csv"
    csv.write_text('title,text\nNA,"say ""hi"", now"\n007,"two\nlines"\n,x\nnull,\n')
    assert read_texts(csv, column="text").documents == ('say "hi", now', "two\nlines", "x")
    # Words that pandas would take for missing values or numbers are text.
    assert read_texts(csv, column="title").documents == ("NA", "007", "null")
    both = read_texts(csv, column=["title", "text"], join=": ").documents
    assert both == ('NA: say "hi", now', "007: two\nlines", ": x", "null: ")
    tsv = tmp_path / "b.tsv"
    tsv.write_text('李煜\t虞美人\t"春花秋月\n李煜\t相见欢\t林花谢了春红"\n')
    assert read_texts(tsv, column=3).documents == ('"春花秋月', '林花谢了春红"')
    assert read_texts(tsv, column=(2, 3)).documents[1] == '相见欢\n林花谢了春红"'
    assert read_texts(tsv, column=2, header=True).documents == ("相见欢",)
    plain = tmp_path / "c.txt"  # a sentence and its translation, in a file that says no kind
    plain.write_text("Run.\t跑。\nWait!\t等！\n")
    assert read_texts(plain, column=2).documents == ("跑。", "等！")
    alone = tmp_path / "d.csv"
    alone.write_text("text\nx\ny\n")
    assert read_texts(alone).documents == ("x", "y")


def test_parquet_and_json_lines(tmp_path) -> None:
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"n": [1, 2, 3], "text": ["x", None, "y z"]})
    frame.to_parquet(tmp_path / "a.parquet")
    assert read_texts(tmp_path / "a.parquet", column="text").documents == ("x", "y z")
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"text": "a\\u4e00", "more": 1}\n\n{"text": "b"}\n')
    assert read_texts(lines).documents == ("a一", "b")
    lines.write_text('{"t": "x", "u": "y"}\n')
    assert read_texts(lines, column=("t", "u"), join="|").documents == ("x|y",)
    lines.write_text('"one"\n"two"\n')
    assert read_texts(lines).documents == ("one", "two")


def test_folders_and_patterns_come_in_the_order_of_names(tmp_path) -> None:
    for name in ("b.txt", "a/z.txt", "a/c.md", ".git/x.txt", "a/.hidden"):
        path = tmp_path / "texts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "texts" / "empty.txt").write_text(" \n")
    found = read_texts(tmp_path / "texts")
    assert found.documents == ("a/c.md", "a/z.txt", "b.txt")
    assert "empty.txt" in found.notes[0]
    assert read_texts(f"{tmp_path}/texts/**/*.txt").documents == ("a/z.txt", "b.txt")
    several = read_texts([tmp_path / "texts" / "b.txt", tmp_path / "texts" / "a"])
    assert several.documents == ("b.txt", "a/c.md", "a/z.txt")


def test_the_library_is_there_without_a_file_and_bounded() -> None:
    found = python_library(200_000)
    assert 100_000 < found.characters <= 200_000
    assert found == python_library(200_000)
    assert list(found.names) == sorted(found.names)
    assert not any("test" in name.split("/")[:-1] for name in found.names)
    assert all(name.endswith(".py") for name in found.names)


def test_the_end_of_the_text_is_held_out_to_the_character() -> None:
    texts = Texts.of(["abcdef", "ghij", "klmnopqrst"])
    parts = split_texts(texts, validation=0.3, test=5, by="end")
    assert parts.train.documents == ("abcdef", "ghi")
    assert parts.validation.documents == ("j", "klmno")
    assert parts.test.documents == ("pqrst",)
    assert parts.validation.names == ("document 1", "document 2")


def test_whole_documents_are_held_out_once_each() -> None:
    texts = Texts.of([f"document number {k}" for k in range(40)])
    parts = split_texts(texts, validation=0.2, test=3, seed=4)
    assert [len(p) for p in parts] == [29, 8, 3]
    assert sorted(sum((p.documents for p in parts), ())) == sorted(texts.documents)
    assert parts == split_texts(texts, validation=0.2, test=3, seed=4)
    other = split_texts(texts, validation=0.2, test=3, seed=5)
    assert set(other.validation.documents) != set(parts.validation.documents)
    last = split_texts(texts, validation=0.2, by="documents").validation.documents
    assert last != texts.documents[-8:]  # drawn, not the last
    assert split_texts(Texts.of(["abcdefghij"] * 3)).validation.characters == 3  # too few: the end


def test_a_source_of_another_kind():
    with pytest.raises(KindError) as caught:
        read_texts([1, 2])
    assert str(caught.value) == (
        "A source of text is 1 (int); expected a file, a folder or a pattern.\n"
        "  Texts that are in memory: recurnn.data.text.Texts.of([...])."
    )
