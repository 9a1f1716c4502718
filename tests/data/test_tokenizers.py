"""Tokenizers: texts come back as they were, and counts decide what has a number."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurnn.data.text import (
    END,
    UNKNOWN,
    BPETokenizer,
    CharacterTokenizer,
    Corpus,
    WordTokenizer,
    load_tokenizer,
    pieces,
)

HAS_BPE = importlib.util.find_spec("tokenizers") is not None
HAS_JIEBA = importlib.util.find_spec("jieba") is not None
BPE = pytest.param("bpe", marks=pytest.mark.skipif(not HAS_BPE, reason="no tokenizers"))
JIEBA = pytest.param("jieba", marks=pytest.mark.skipif(not HAS_JIEBA, reason="no jieba"))

# What text is made of, in every order: words, signs that stick to either side, runs, white space,
# scripts without spaces, combining marks, other scripts, and a character beyond 16 bits.
PARTS = [
    "a", "Word", "don't", "x_1", "3rd", ".", ",", "(", ")", "...", "--", '"', "'", "’", "/", "$",
    "<", ">", " ", "  ", "\n", "\n    ", "\t", "\r", "\u00a0", "\u3000", "我", "手机", "，", "。",
    "「", "かな", "é", "e\u0301", "हिन्दी", "слово", "한국어", "𠀀", "🙂",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PARTS), max_size=25).map("".join)


def made(kind: str, texts: list[str]):
    if kind == "characters":
        return CharacterTokenizer.fit(texts)
    if kind == "bpe":
        return BPETokenizer.fit(texts, size=258, min_count=1)
    return WordTokenizer.fit(texts, segmenter=kind)


@pytest.mark.parametrize("kind", ["characters", "punctuation", "space", JIEBA, BPE])
@settings(max_examples=80)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
def test_every_text_comes_back(kind: str, texts: list[str]) -> None:
    tokenizer = made(kind, texts)
    for text, ids in zip(texts, tokenizer.encode_all(texts), strict=True):
        assert ids.dtype == np.int32
        assert tokenizer.decode(ids) == text
        assert UNKNOWN not in ids
        assert END not in ids
        np.testing.assert_array_equal(tokenizer.encode(text), ids)
        assert tokenizer.unknown(text) == []


@pytest.mark.parametrize("kind", ["characters", "punctuation", JIEBA, BPE])
def test_a_saved_tokenizer_is_the_same(kind: str, tmp_path) -> None:
    texts = ["Hello, world! 我的手机坏了。\n", 'He said: "no".']
    tokenizer = made(kind, texts)
    tokenizer.save(tmp_path / "tokenizer.json")
    found = load_tokenizer(tmp_path / "tokenizer.json")
    assert found == tokenizer
    assert type(found) is type(tokenizer)
    np.testing.assert_array_equal(found.encode(texts[0] + "?"), tokenizer.encode(texts[0] + "?"))
    assert found != CharacterTokenizer.fit(["else"])


@pytest.mark.skipif(not HAS_BPE, reason="no tokenizers")
def test_byte_pairs_are_the_frequent_ones() -> None:
    tokenizer = BPETokenizer.fit(["low lower lowest low low 手机 手机"], size=262, min_count=2)
    assert tokenizer.size == 262
    assert tokenizer.decode(tokenizer.encode("lowly 手机 é")) == "lowly 手机 é"
    assert len(tokenizer.encode("手机 lower")) < len("手机 lower".encode())
    assert shown(tokenizer, " low") == [" low"]


def shown(tokenizer, text: str) -> list[str]:
    return [tokenizer.token(k) for k in tokenizer.encode(text)]


def test_words_punctuation_and_spaces() -> None:
    tokenizer = WordTokenizer.fit(
        ['He said: "well-known (or not)",\n    3.5%  don\'t a.b 我用 Py。']
    )
    assert shown(tokenizer, 'He said: "well-known (or not)",') == [
        "He", "said", "￭:", '"￭', "well", "￭-￭", "known", "(￭", "or", "not", "￭)", '￭"', "￭,",
    ]  # fmt: skip
    assert shown(tokenizer, "\n    3.5%  don't a.b") == [
        "\n    ", "3", "￭.￭", "5", "￭%", "  ", "don't", "a", "￭.￭", "b",
    ]  # fmt: skip
    assert shown(tokenizer, "我用 Py。") == ["我", "用", " ", "Py", "。"]
    assert shown(tokenizer, " He  said") == [" ", "He", "  ", "said"]


@pytest.mark.skipif(not HAS_JIEBA, reason="no jieba")
def test_chinese_words() -> None:
    tokenizer = WordTokenizer.fit(["我的手机坏了，我打算买一部新手机。"], segmenter="jieba")
    assert shown(tokenizer, "手机坏了，我打算") == ["手机", "坏", "了", "，", "我", "打算"]


def test_vocabularies_are_by_count_and_cut_by_size_or_count() -> None:
    texts = ["b a a c", "c c b a d c"]
    tokenizer = WordTokenizer.fit(texts)
    assert tokenizer.tokens == [" ", "c", "a", "b", "d"]
    assert WordTokenizer.fit(texts, size=5).tokens == [" ", "c", "a"]
    assert WordTokenizer.fit(texts, min_count=2).tokens == [" ", "c", "a", "b"]
    assert WordTokenizer.fit(["x <unk> y", "<unk> y"]).tokens == [" ", "y", "x"]
    characters = CharacterTokenizer.fit(["abca", "cc"], size=4)
    assert characters.characters == ["c", "a"]
    assert characters.encode("cab").tolist() == [2, 3, UNKNOWN]
    assert characters.unknown("xcxb") == ["x", "b"]
    words = WordTokenizer.fit(texts, size=5)
    assert words.encode("a d <unk>").tolist() == [4, UNKNOWN, UNKNOWN]
    assert words.decode([4, UNKNOWN, END, 4]) == "a <unk>a"
    assert words.unknown("a d, d") == ["d", "￭,"]


@pytest.mark.parametrize("kind", ["punctuation", BPE])
def test_blocks_change_nothing(kind: str, monkeypatch) -> None:
    text = "The cat (one) sat.\n  \n\n我们  a - b\n" * 5
    tokenizer = made(kind, [text])
    whole = tokenizer.encode(text)
    monkeypatch.setattr(f"recurnn.data.text.{'subwords' if kind == 'bpe' else 'words'}.MOST", 3)
    for size in (1, 7, 40):
        monkeypatch.setattr(pieces.blocks, "__defaults__", (size,))
        np.testing.assert_array_equal(tokenizer.encode(text), whole)


def test_a_corpus_keeps_documents_apart(tmp_path) -> None:
    texts = ["ab a", "b\nb  a", "a"]
    tokenizer = CharacterTokenizer.fit(texts)
    corpus = Corpus.encode(texts, tokenizer)
    assert corpus.lengths.tolist() == [5, 7, 2]
    assert corpus.characters.tolist() == [4, 6, 1]
    assert corpus.words.tolist() == [2, 3, 1]
    assert [tokenizer.decode(corpus.document(k)) for k in range(3)] == texts
    assert (corpus.tokens[corpus.starts[1:] - 1] == END).all()
    open_ended = Corpus.encode(texts, tokenizer, ends=False)
    assert open_ended.end is None
    assert END not in open_ended.tokens
    assert Corpus.encode(["", "a", ""], tokenizer, ends=False).starts.tolist() == [0]
    corpus.save(tmp_path / "corpus")
    found = Corpus.open(tmp_path / "corpus")
    assert isinstance(found.tokens, np.memmap)
    assert not found.tokens.flags.writeable
    for name in ("tokens", "starts", "characters", "words"):
        np.testing.assert_array_equal(getattr(found, name), getattr(corpus, name))
    assert (found.size, found.end) == (corpus.size, END)
