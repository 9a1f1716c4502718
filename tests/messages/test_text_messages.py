"""Every error about text, tokenizers and n-grams, by its text."""
# ruff: noqa: E501 (a message stays in one piece, beside what causes it)

from __future__ import annotations

import json
import lzma
import re
import sys

import numpy as np
import pandas as pd
import pytest

from recurnn.baselines import Ngram, NgramCounts, Sampling, TextScores
from recurnn.data.text import (
    BPETokenizer,
    CharacterTokenizer,
    Corpus,
    Texts,
    WordTokenizer,
    fit_tokenizer,
    load_tokenizer,
    python_library,
    read_texts,
    split_texts,
    tokenizer_from,
    words,
)
from recurnn.errors import ConfigError, DataError, KindError, ModelFolderError, ShapeError

FILES = [
    ("a.txt", b"", {}, "{path}: the text is empty.\n  Files read: 1; none has anything but white space."),
    ("a.txt", b" \n\t\n", {}, "{path}: the text is empty."),
    ("a.txt", b"one\ntwo \xe9t\xe9\n", {}, "{path}: this is not UTF-8 text.\n  Byte 8, on line 2, is 0xe9.\n  Convert it; if it is Latin-1, say: iconv -f latin1"),
    ("a.txt", b"\xef\xbb\xbfab\xff", {}, "Byte 5, on line 1, is 0xff."),
    ("a.txt.xz", lzma.compress(b"ab\xe4"), {}, "Byte 2, on line 1, is 0xe4 (counted in the unpacked text)."),
    ("a.txt.xz", b"no archive", {}, "{path}: the compressed file is damaged or cut short."),
    ("a.bin", b"\x89PNG\r\n\x1a\n\0\0\0", {}, "{path}: this is not text but a binary file.\n  Byte 8 is zero, which no text has.\n  Name the text files; of a folder by a pattern, such as 'folder/**/*.txt'."),
    ("a.txt", "hä".encode("utf-16"), {}, "{path}: this is UTF-16 text; expected UTF-8.\n  Convert it: iconv -f utf-16"),
    ("a.csv", "a,b\n1,2\n", {}, "{path}: the table has several columns.\n  Columns: a, b.\n  Say which holds the text: column=NAME"),
    ("a.csv", "title,text\n1,2\n", {"column": "txet"}, "{path}: there is no column 'txet'.\n  Columns: title, text. Did you mean 'text'?"),
    ("a.tsv", "1\t2\n", {"column": 3}, "{path}: there is no column 3.\n  The table has 2 columns."),
    ("a.csv", 'a,b\n1,"2\n', {"column": "a"}, "{path}: this is not a table of text.\n  Error tokenizing data"),
    ("a.jsonl", '{"text": "x"}\n{oops\n', {}, "{path}: line 2 is not JSON.\n  Expecting property name"),
    ("a.jsonl", '{"txt": "x", "n": 1}\n', {}, "{path}: line 1 has no text under 'text'.\n  It has: txt, n. Did you mean 'txt'?"),
    ("a.jsonl", '{"text": 5}\n', {}, "{path}: line 1 has no text under 'text'.\n  It has 5 there; expected a string."),
    ("a.jsonl", "[1, 2]\n", {}, "{path}: line 1 has no text under 'text'.\n  It is a list; expected an object."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "options", "message"), FILES)
def test_files(tmp_path, name, text, options, message) -> None:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=re.escape(message.format(path=path))):
        read_texts(path, **options)


def test_numbers_in_a_parquet_column(tmp_path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    pd.DataFrame({"n": [3, 4]}).to_parquet(path)
    message = f"{path}: column 'n' does not hold text.\n  Row 0 has 3, of type int."
    with pytest.raises(DataError, match=re.escape(message)):
        read_texts(path, column="n")


def test_files_that_are_not_there(tmp_path) -> None:
    for source, message in (
        (tmp_path / "a.txt", "a.txt: there is no such file."),
        (tmp_path, f"{tmp_path}: there is no file in this folder."),
        (f"{tmp_path}/*.md", "*.md: no file fits this pattern."),
    ):
        with pytest.raises(DataError, match=re.escape(message)):
            read_texts(source)


def test_a_python_without_source(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    with pytest.raises(DataError, match=r"came without the source text of its library"):
        python_library()


TEXT = Texts.of(["abc", "de"])


def damaged(**change: object) -> str:
    return json.dumps(json.loads(CharacterTokenizer(["a"]).to_json()) | change)


CALLS = [
    (lambda: read_texts("x", documents="sentence"), ConfigError, "documents: there is no 'sentence'.\n  Known: file, line, paragraph."),
    (lambda: read_texts("x", column=0), ConfigError, "column is 0.\n  Columns are counted from 1."),
    (lambda: Texts.of([]), DataError, "There is no text: the list of documents is empty."),
    (lambda: Texts.of(["a", ""]), DataError, "The text of document 1 is empty."),
    (lambda: split_texts(TEXT, by="ends"), ConfigError, "by: there is no 'ends'.\n  Known: auto, documents, end. Did you mean 'end'?"),
    (lambda: split_texts(TEXT, validation=2, by="documents"), DataError, "Nothing is left to train on.\n  The text has 2 documents; validation takes 2 and test 0.\n  Give smaller parts, or a longer text."),
    (lambda: split_texts(TEXT, validation=1.5), ConfigError, "validation: the size of this part cannot be 1.5.\n  Give a share of the text (0.1) or a whole number of characters (1000)."),
    (lambda: split_texts(TEXT, validation=0, test=0.01), DataError, "test: a share of 0.01 holds out nothing.\n  The text has 5 characters. Give a larger share."),
    (lambda: split_texts(TEXT, validation=1, by="documents", seed=-1), ConfigError, "seed is -1; expected a whole number from 0 on."),
    (lambda: fit_tokenizer("letters", TEXT), ConfigError, "tokenizer: there is no 'letters'.\n  Known: characters, words, bpe."),
    (lambda: CharacterTokenizer.fit(TEXT, size=9), ConfigError, "characters: the text does not support a vocabulary of 9.\n  It has 5 different characters, and there are 2 special tokens.\n  Give 7 or less, or no size for all of them."),
    (lambda: WordTokenizer.fit(["a a b"], size=5, min_count=2), ConfigError, "words: the text does not support a vocabulary of 5.\n  It has 2 different words that come 2 times or more, and there are 2 special tokens.\n  Give 4 or less"),
    (lambda: WordTokenizer.fit(TEXT, size=2), ConfigError, "words: a vocabulary of 2 has no room.\n  <unk> and <end> are in every vocabulary; expected 3 or more."),
    (lambda: WordTokenizer.fit(TEXT, size=2.5), KindError, "words: the size is 2.5; expected a whole number."),
    (lambda: WordTokenizer.fit(TEXT, min_count=0), ConfigError, "words: min_count is 0; expected 1 or more."),
    (lambda: WordTokenizer.fit(TEXT, segmenter="jeiba"), ConfigError, "segmenter: there is no 'jeiba'.\n  Known: punctuation, space, jieba. Did you mean 'jieba'?"),
    (lambda: BPETokenizer.fit(TEXT, size=100), ConfigError, "bpe: a vocabulary of 100 has no room.\n  There are 256 bytes and 2 special tokens in it; expected 258 or more."),
    (lambda: tokenizer_from("{"), DataError, "the tokenizer is damaged: it is not JSON."),
    (lambda: tokenizer_from("{}"), DataError, "the tokenizer is not a tokenizer: expected the format 'recurnn-tokenizer'."),
    (lambda: tokenizer_from(damaged(format_version=9)), DataError, "was written in another version of the format.\n  It has version 9; this recurnn reads 1."),
    (lambda: tokenizer_from(damaged(kind="old")), DataError, "is a tokenizer of an unknown kind, 'old'.\n  Known: characters, words, bpe."),
    (lambda: tokenizer_from(damaged(kind="words")), DataError, "the tokenizer is damaged: it lacks 'tokens'."),
    (lambda: load_tokenizer("nowhere.json"), DataError, "nowhere.json: there is no such file."),
    (lambda: Corpus.of([[1]]), ShapeError, "Corpus: the tokens are [1, 1] of int64.\n  Expected whole numbers in one row, at least one."),
    (lambda: Corpus.of([1, 5], size=5), ShapeError, "Corpus: the tokens go from 1 to 5.\n  Expected 0 to V − 1 = 4."),
    (lambda: Corpus.of([1, 2], starts=[0, 2]), ShapeError, "Corpus: the documents begin at [0, 2].\n  Expected 0 first, then rising, below the number of tokens, 2."),
    (lambda: Corpus.encode([""], CharacterTokenizer(["a"]), ends=False), DataError, "The text is empty: there are no tokens."),
    (lambda: Corpus.of([1, 2]).require(36, "a chunk of 35 steps"), DataError, "The text is too short for a chunk of 35 steps.\n  It has 2 tokens; expected 36 or more."),
    (lambda: Corpus.open("nowhere"), DataError, "nowhere is no corpus: it has no corpus.json."),
    (lambda: Ngram(0), ConfigError, "n-gram: the order is 0; expected 1 or more."),
    (lambda: Ngram(2.0), KindError, "n-gram: the order is 2.0; expected a whole number."),
    (lambda: Ngram(2, smoothing="kneser"), ConfigError, "smoothing: there is no 'kneser'.\n  Known: kneser-ney, add-k, maximum likelihood. Did you mean 'kneser-ney'?"),
    (lambda: Ngram(2, smoothing="add-k", k=0), ConfigError, "add-k: k is 0; expected a number above 0."),
    (lambda: Ngram(2, discounts=[0.5, 1.5]), ConfigError, "discounts: [2] numbers were given.\n  Expected one, three (D1, D2, D3+), or [N, 3] = [2, 3]."),
    (lambda: Ngram(2, discounts=1.5), ConfigError, "discounts: 1.5 is out of range.\n  D1 is from 0 to 1, D2 to 2, D3+ to 3."),
    (lambda: Ngram(2).score(Corpus.of([1])), ConfigError, "n-gram: the model is not fitted.\n  Call fit(corpus) first."),
    (lambda: Ngram(2).fit([0, 1]).score(Corpus.of([0, 3])), ShapeError, "n-gram: the text is not of the model's vocabulary.\n  V is 4 of the text and 2 of the model."),
    (lambda: Ngram(2).fit([0, 1]).score(Corpus.of([0, 1], end=1)), ShapeError, "end is 1 of the text and None of the model."),
    (lambda: Ngram(2).fit([0, 1]).distribution([2]), ShapeError, "n-gram: the tokens go from 2 to 2; expected 0 to V − 1 = 1."),
    (lambda: Ngram(2).fit([0, 1]).fill([0], [-1]), ShapeError, "n-gram: the tokens go from -1 to -1; expected 0 to V − 1 = 1."),
    (lambda: Ngram(3).fit(NgramCounts.of(Corpus.of([0, 1]), 2)), ConfigError, "n-gram: the counts are of order 2; expected 3 or more."),
    (lambda: Ngram(2).fit([0, 1], CharacterTokenizer(["a"])), ConfigError, "n-gram: the tokenizer has V = 3; the corpus 2."),
    (lambda: TextScores.of(np.zeros(3), Corpus.of([0, 1])), ShapeError, "TextScores: the log-probabilities are [3].\n  Expected [2], one for each token of the corpus."),
    (lambda: Sampling(temperature=0), ConfigError, "temperature is 0; expected a number above 0.\n  For the likeliest token each time give top_k=1."),
    (lambda: Sampling(temperature=float("nan")), ConfigError, "temperature is nan; expected a number above 0."),
    (lambda: Sampling(top_k=0), ConfigError, "top_k is 0; expected a whole number from 1, or None."),
    (lambda: Sampling(top_p=1.2), ConfigError, "top_p is 1.2; expected above 0 and up to 1, or None."),
    (lambda: Sampling(without=[0, 1]).weights(np.array([0.5, 0.5])), ConfigError, "Every token that is likely at all was excluded."),
    (lambda: Ngram.load("nowhere.npz"), ModelFolderError, "There is no n-gram model nowhere.npz."),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), CALLS)
def test_calls(call, kind, message) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        call()


def test_byte_pairs_that_run_out() -> None:
    pytest.importorskip("tokenizers")
    message = "bpe: the text does not support a vocabulary of 300.\n  No more pairs come 2 times or more at 259 tokens."
    with pytest.raises(ConfigError, match=re.escape(message)):
        BPETokenizer.fit(["abab"], size=300)


@pytest.mark.parametrize(
    ("module", "make"),
    [
        ("jieba", lambda: WordTokenizer([" "], segmenter="jieba")),
        ("tokenizers", lambda: BPETokenizer.fit(["abab"], size=300)),
    ],
)
def test_an_extra_that_is_not_installed(module, make, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    words._splitter.cache_clear()
    with pytest.raises(
        ConfigError, match=r'not installed.\n  Install it with: pip install "recurnn\[text\]"'
    ):
        make()


def test_damaged_and_foreign_files(tmp_path) -> None:
    path = tmp_path / "model.npz"
    Ngram(2).fit([0, 1, 0, 1, 1]).save(path)
    with pytest.raises(ModelFolderError, match=r"exists.\n  Nothing was written."):
        Ngram(2).fit([0, 1]).save(path)
    with pytest.raises(ModelFolderError, match=r"cannot be written: No such file"):
        Ngram(2).fit([0, 1]).save(tmp_path / "no" / "model.npz")
    whole = path.read_bytes()
    for damage in (b"", b"abc", whole[:-40], whole[:300] + b"\xff" * 50 + whole[350:]):
        path.write_bytes(damage)
        with pytest.raises(ModelFolderError, match=r"is no n-gram model, or damaged."):
            Ngram.load(path)
    np.savez(path, a=np.zeros(2))
    with pytest.raises(ModelFolderError, match=r"is no n-gram model, or damaged.\n  'config'"):
        Ngram.load(path)
    folder = tmp_path / "corpus"
    Corpus.of([0, 1, 2]).save(folder)
    with pytest.raises(
        DataError, match=r"corpus exists.\n  Nothing was written. Give a new folder."
    ):
        Corpus.of([0, 1]).save(folder)
    (folder / "tokens.npy").write_bytes(b"abc")
    with pytest.raises(DataError, match=r"corpus is damaged."):
        Corpus.open(folder)
    (folder / "corpus.json").write_text("{}")
    with pytest.raises(
        DataError,
        match=r"is no corpus of this version.\n  Expected the format 'recurnn-corpus', version 1",
    ):
        Corpus.open(folder)
    (folder / "corpus.json").write_text("{")
    with pytest.raises(DataError, match=r"corpus.json is damaged: it is not JSON."):
        Corpus.open(folder)
