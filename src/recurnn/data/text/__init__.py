"""Text: files become documents, documents become tokens."""

from recurnn.data.text.characters import CharacterTokenizer
from recurnn.data.text.corpus import Corpus
from recurnn.data.text.kinds import TOKENIZERS, fit_tokenizer, load_tokenizer, tokenizer_from
from recurnn.data.text.reading import python_library, read_texts
from recurnn.data.text.subwords import BPETokenizer
from recurnn.data.text.texts import TextParts, Texts, split_texts
from recurnn.data.text.tokenizer import END, UNKNOWN, Tokenizer
from recurnn.data.text.words import WordTokenizer

__all__ = [
    "Texts", "read_texts", "python_library", "TextParts", "split_texts",
    "Tokenizer", "CharacterTokenizer", "WordTokenizer", "BPETokenizer", "TOKENIZERS",
    "fit_tokenizer", "load_tokenizer", "tokenizer_from", "UNKNOWN", "END",
    "Corpus",
]  # fmt: skip
