"""Words as tokens, with punctuation and white space such that the text can be put together again.

Between two tokens stands one space, unless they say otherwise:

- punctuation that sticks to its neighbours has a mark on that side: ``Hello, world`` is ``Hello``,
  ``￭,``, ``world``;
- white space other than one space is a token of its own;
- characters of scripts that are written without spaces (Chinese and Japanese) stick to everything;
  a space beside one of them is a token.
"""

from __future__ import annotations

import functools
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from recurnn.data.text.pieces import MOST, SPACE, PieceTable, blocks, pieces
from recurnn.data.text.tokenizer import END, NAMES, UNKNOWN, Ids, Tokenizer, lasting
from recurnn.errors import ConfigError, one_of

MARK = "￭"
SEGMENTERS = ("punctuation", "space", "jieba")
# Ideographs, kana, and the punctuation and full-width forms that go with them.
_DENSE = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_STUCK = re.compile(f"[{_DENSE}\u3000-\u303f\uff00-\uffe0]")


class WordTokenizer(Tokenizer):
    """Words, punctuation and white space as tokens.

    A word is a run of letters, digits and combining marks, with apostrophes between them; equal
    signs in a row are one token; ``<unk>`` in a text is the unknown token, and so is the mark.

    Args:
        tokens: the vocabulary after the two special tokens; the first is a space.
        segmenter: ``"punctuation"``: words as above, and Chinese characters one by one.
            ``"jieba"``: Chinese by the words that jieba finds; needs
            ``pip install "recurnn[text]"``. ``"space"``: whatever stands between white space, for
            text that was divided into tokens already.

    Raises:
        ConfigError: an unknown segmenter, or one that is not installed.

    Example:
        >>> tokenizer = WordTokenizer.fit(["Hello, world! (Again.)"])
        >>> [tokenizer.token(k) for k in tokenizer.encode("Hello world, hello (again)")]
        ['Hello', 'world', '￭,', '<unk>', '(￭', '<unk>', '￭)']
        >>> tokenizer.decode(tokenizer.encode("Hello, (hello) world!"))
        'Hello, (<unk>) world!'
    """

    kind = "words"
    unit = "word"

    def __init__(self, tokens: Sequence[str], *, segmenter: str = "punctuation") -> None:
        self.tokens, self.segmenter = list(tokens), segmenter
        self._split = _splitter(segmenter)
        self._id_of = {token: k + len(NAMES) for k, token in enumerate(self.tokens)}
        shown = [NAMES[UNKNOWN], "", *self.tokens]
        self._texts = [token.strip(MARK) for token in shown]
        self._left = [_sticks(t, t[:1]) or k == END for k, t in enumerate(shown)]
        self._right = [_sticks(t, t[-1:]) or k == END for k, t in enumerate(shown)]

    @classmethod
    def fit(
        cls,
        documents: Iterable[str],
        *,
        size: int | None = None,
        min_count: int = 1,
        segmenter: str = "punctuation",
    ) -> WordTokenizer:
        """The tokens of some texts, the most frequent first.

        Args:
            documents: the texts.
            size: V with the two special tokens; None for all.
            min_count: tokens that come less often are unknown.
            segmenter: as above.

        Raises:
            ConfigError: a size that the text does not support.
        """
        split = _splitter(segmenter)
        counts: Counter[str] = Counter()
        for text in documents:
            for block in blocks(text):
                for piece, n in Counter(pieces(block)).items():
                    for token in split(_bare(piece)):
                        counts[token] += n
        for token in [t for t in counts if not t.strip(MARK) or t == NAMES[UNKNOWN]]:
            del counts[token]
        # A space becomes a token only beside what sticks to it, which no piece shows by itself.
        tokens = lasting(cls.kind, counts, size=size, min_count=min_count, always=(" ",))
        return cls(tokens, segmenter=segmenter)

    @property
    def size(self) -> int:
        """V."""
        return len(self.tokens) + len(NAMES)

    def encode_all(self, documents: Iterable[str]) -> Iterator[Ids]:
        """The tokens of each document."""
        table = _Table(self)
        for text in documents:
            closed, parts = True, []
            for block in blocks(text):
                if len(table) > MOST:
                    table = _Table(self)
                ids, closed = table.encode(block, closed=closed)
                parts.append(ids)
            yield np.concatenate(parts)

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The text of some tokens; an unknown one is shown as ``<unk>``."""
        pieces, stuck = list[str](), True
        for k in np.asarray(ids).tolist():
            if not (stuck or self._left[k]):
                pieces.append(" ")
            pieces.append(self._texts[k])
            stuck = self._right[k]
        return "".join(pieces)

    def token(self, id: int) -> str:
        """One token, as it is shown."""
        return NAMES[id] if id < len(NAMES) else self.tokens[id - len(NAMES)]

    def unknown(self, text: str) -> list[str]:
        """The tokens of a text that are not in the vocabulary, each once."""
        tokens = (t for piece in pieces(text) for t in self._split(_bare(piece)))
        return [t for t in dict.fromkeys(tokens) if t not in self._id_of]

    def ids(self, piece: str) -> list[int]:
        """The tokens of a run without white space, or of a run of nothing else."""
        return [self._id_of.get(token, UNKNOWN) for token in self._split(piece)]

    def _config(self) -> dict[str, Any]:
        return {"segmenter": self.segmenter, "tokens": self.tokens}

    @classmethod
    def _from(cls, config: Mapping[str, Any]) -> Self:
        return cls(config["tokens"], segmenter=config["segmenter"])


class _Table(PieceTable):
    """Pieces with what they are at both ends."""

    def __init__(self, tokenizer: WordTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.flags = bytearray()  # three a piece: leads with a space, sticks before, sticks after

    def tokens_of(self, new: list[str]) -> Iterator[list[int]]:
        """The tokens of each new piece."""
        for piece in new:
            bare = _bare(piece)
            space = bare.isspace()
            sticks = (space or _STUCK.match(c) is not None for c in (bare[0], bare[-1]))
            self.flags.extend((len(bare) < len(piece), *sticks))
            yield self.tokenizer.ids(bare)

    def encode(self, text: str, *, closed: bool) -> tuple[Ids, bool]:
        """The tokens of a text, and whether the last sticks to what follows.

        Args:
            text: a block of the document.
            closed: whether what stands before it sticks to it.
        """
        numbers = self.numbers(text)
        if not len(numbers):
            return np.empty(0, dtype=np.int32), closed
        flags = np.frombuffer(self.flags, dtype=np.bool_).reshape(-1, 3)[numbers]
        leads, first, last = flags.T
        # A space between tokens that would stick together has to be said.
        before = np.concatenate([[closed], last[:-1]])
        blank = leads & (before | first)
        return self.gathered(numbers, blank, self.tokenizer.ids(" ")[0]), bool(last[-1])


def _bare(piece: str) -> str:
    """A piece without the one space before it."""
    return piece[1:] if piece[0] == " " and not piece.isspace() else piece


def _sticks(token: str, outer: str) -> bool:
    """Whether a token sticks to its neighbour on the side of its outer character."""
    return bool(token) and (outer == MARK or outer.isspace() or _STUCK.match(outer) is not None)


@functools.cache
def _combining() -> str:
    """The combining marks, as the inside of a class of characters; to `re` they are no letters."""
    codes = [k for k in range(0x300, 0x10000) if unicodedata.category(chr(k)) in ("Mn", "Mc")]
    return re.escape("".join(map(chr, codes)))


@functools.cache
def _splitter(segmenter: str) -> Callable[[str], list[str]]:
    """The function that makes tokens, with their marks, of a piece of text."""
    if segmenter not in SEGMENTERS:
        raise one_of("segmenter", segmenter, SEGMENTERS)
    if segmenter == "space":
        return lambda piece: [piece]
    letters = rf"(?:[^\W{_DENSE}]|[{_combining()}])+"
    dense = f"[{_DENSE}]+" if segmenter == "jieba" else f"[{_DENSE}]"
    parts = re.compile(
        rf"(?P<plain><unk>|{SPACE}|{dense}|{letters}(?:['’]{letters})*)|(?P<sign>.)(?P=sign)*",
        re.DOTALL,
    )
    cut = _jieba() if segmenter == "jieba" else None

    def split(piece: str) -> list[str]:
        tokens: list[str] = []
        glue = False  # whether the next token has to carry the mark of the last one's side
        stuck = True  # whether the next one sticks anyway
        for match in parts.finditer(piece):
            token, plain = match[0], match["plain"]
            free = stuck or _STUCK.match(token[0]) is not None
            if plain is None and not free:
                token = MARK + token
            elif not free and glue:
                tokens[-1] += MARK
            glue = plain is None
            stuck = _STUCK.match(token[-1]) is not None
            tokens += cut(token) if cut and plain and stuck else [token]
        return tokens

    return split


def _jieba() -> Callable[[str], list[str]]:
    try:
        with warnings.catch_warnings():  # it looks for a module of another age
            warnings.simplefilter("ignore")
            import jieba
    except ImportError:
        raise ConfigError(
            "segmenter: jieba is not installed.\n"
            '  Install it with: pip install "recurnn[text]"; or read Chinese by characters.'
        ) from None
    jieba.setLogLevel("WARNING")
    cut: Callable[[str], list[str]] = jieba.lcut
    return cut
