"""Sequences with a tag for every step: CoNLL columns, JSON lines, long tables and archives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd

from recurnn.data.labelled import LABEL_NAMES, Labelled, Roles, by_name, check_there, suffix_of
from recurnn.data.labelled_archives import read_npz
from recurnn.data.labelled_tables import tagged
from recurnn.data.labelled_text import numbered_lines, read_json, read_text
from recurnn.data.sequence_inputs import ragged
from recurnn.data.tables import Table, from_frame, parquet_frame, stem
from recurnn.errors import ConfigError, DataError, counted

_CONLLU = 10  # columns of Universal Dependencies: the form is the second, its universal tag the 4th
_WORDS = ("tokens", "words", "form", "forms", "text", "frames", "x", "sequence")
_TAGS = ("tags", "ner_tags", "upos", "pos_tags", *LABEL_NAMES)
_DOCUMENT = "-DOCSTART-"


def read_tagged(path: str | Path, roles: Roles | None = None, *, needed: bool = True) -> Labelled:
    """Read sequences with a tag for every step.

    ``.csv`` and ``.parquet`` are long tables, with a row for each step; ``.jsonl`` has two lists
    in each object; ``.npz`` the frames and tags of all sequences end to end, with their lengths;
    anything else is columns of CoNLL: a word a line, its columns separated by tabs or blanks, an
    empty line after each sentence.

    Args:
        path: the file.
        roles: which columns are what; in columns of CoNLL the word and the tag are named by their
            number, counted from 1.
        needed: whether there must be tags.

    Returns:
        The sequences; `labels` are lists, one a sequence.

    Raises:
        DataError: the file cannot be read or used; the text names the line.
    """
    path, roles = Path(path), roles or Roles()
    check_there(path)
    kind = suffix_of(path)
    if kind in (".jsonl", ".ndjson"):
        return _json(read_json(path), roles, needed=needed)
    if kind == ".parquet":
        table = from_frame(parquet_frame(path), name=stem(path), origin=str(path))
        return tagged(table, roles, needed=needed)
    if kind == ".csv":
        return tagged(read_text(path, header=roles.header), roles, needed=needed)
    if kind == ".npz":
        return _npz(path, roles, needed=needed)
    return _conll(path, roles, needed=needed)


def _conll(path: Path, roles: Roles, *, needed: bool) -> Labelled:
    sentences = list(_sentences(path))
    if not sentences:
        raise DataError(f"{path}: there are no sentences.")
    width = len(sentences[0][0][1])
    for sentence in sentences:
        for number, fields in sentence:
            if len(fields) != width:
                first = sentences[0][0][0]
                raise DataError(
                    f"{path}: line {number} has {counted(len(fields), 'column')}, line {first} has "
                    f"{counted(width, 'column')}.\n"
                    "  Every word has as many; an empty line ends a sentence."
                )
    _check_width(path, roles, width, needed=needed)
    word, tag, note = _columns(path, roles, width, needed=needed)
    if width == _CONLLU:  # ranges (3-4) and empty nodes (5.1) are no words
        sentences = [[(n, f) for n, f in s if f[0].isdigit()] for s in sentences]
    labels = None
    if tag is not None:
        labels = ragged([[fields[tag] for _, fields in s] for s in sentences])
    return Labelled(
        [[fields[word] for _, fields in s] for s in sentences], labels,
        pd.DataFrame(index=range(len(sentences))), [f"line {s[0][0]}" for s in sentences],
        str(path),
        replace(
            roles, sequence=(str(word + 1),), label=() if tag is None else (str(tag + 1),),
            columns=width,
        ),
        notes=(note,),
    )  # fmt: skip


def _sentences(path: Path) -> Iterator[list[tuple[int, list[str]]]]:
    """For each sentence its words: line and columns."""
    sentence: list[tuple[int, list[str]]] = []
    width = 0
    for number, line in numbered_lines(path):
        if not line.strip():
            if sentence:
                yield sentence
            sentence = []
            continue
        tabs = "\t" in line
        fields = line.rstrip("\t ").split("\t") if tabs else line.split()
        # A line that begins so is a comment, unless it has the columns of a word.
        if fields[0] == _DOCUMENT or (line.startswith("#") and not tabs and len(fields) != width):
            continue
        width = width or len(fields)
        sentence.append((number, fields))
    if sentence:
        yield sentence


def _columns(
    path: Path, roles: Roles, width: int, *, needed: bool
) -> tuple[int, int | None, str]:  # fmt: skip
    """The places of the word and of the tag, and a note on them."""
    word, tag = (1, 3) if width == _CONLLU else (0, width - 1 if width > 1 else None)
    if roles.sequence:
        word = _place(path, roles.sequence[0], width)
    if roles.label:
        tag = (
            _place(path, roles.label[0], width) if needed or _fits(roles.label[0], width) else None
        )
    if tag == word or tag is None:
        if needed:
            raise DataError(
                f"{path}: there is no column of tags.\n"
                f"  Its lines have {counted(width, 'column')}; the word is column {word + 1}."
            )
        tag = None
    told = "no tags" if tag is None else f"its tag in column {tag + 1}"
    return word, tag, f"{counted(width, 'column')}: the word in column {word + 1}, {told}"


def _check_width(path: Path, roles: Roles, width: int, *, needed: bool) -> None:
    """Refuse lines of another form than those that the numbers of the columns were learned from.

    Where no tags are needed, others of the columns may be missing: the word is still the first, or
    only the tag, the last, is not there.
    """
    if roles.columns is None or width == roles.columns:
        return
    last = roles.label == (str(roles.columns),) and width == roles.columns - 1
    if not needed and (last or roles.sequence == ("1",)):
        return
    raise DataError(
        f"{path}: its lines have {counted(width, 'column')}; the model was trained on lines of "
        f"{roles.columns}.\n  There the word is column {', '.join(roles.sequence)} and its tag "
        f"column {', '.join(roles.label)}. Give such a file, or say what is where: --column and "
        "--label."
    )


def _fits(name: str, width: int) -> bool:
    return name.isdigit() and 1 <= int(name) <= width


def _place(path: Path, name: str, width: int) -> int:
    if not _fits(name, width):
        raise ConfigError(
            f"{path}: there is no column {name!r}.\n  Its lines have {counted(width, 'column')}, "
            "which are named by their number, counted from 1."
        )
    return int(name) - 1


def _json(table: Table, roles: Roles, *, needed: bool) -> Labelled:
    names = list(table.frame.columns)
    words = roles.sequence[0] if roles.sequence else by_name(names, _WORDS)
    tags = roles.label[0] if roles.label else by_name([n for n in names if n != words], _TAGS)
    for what, name, must, option in (
        ("words", words, True, "--column"), ("tags", tags, needed, "--label"),
    ):  # fmt: skip
        if must and name is not None and name not in names:
            raise DataError(
                f"{table.origin}: there is no key {name!r} for the {what}.\n  It is named by an "
                "option or by the file that the model was trained on.\n  Keys: "
                f"{', '.join(names)}.\n  Name another: {option} NAME."
            )
        if must and name is None:
            raise DataError(
                f"{table.origin}: which key holds the {what} cannot be told.\n"
                f"  Keys: {', '.join(names)}.\n  Name it: {option} NAME."
            )
    x, labels = list(table.frame[words]), None
    if tags in names:
        y = list(table.frame[tags])
        for i, (a, b) in enumerate(zip(x, y, strict=True)):
            if not isinstance(a, list) or not isinstance(b, list) or len(a) != len(b):
                counts = [len(v) if isinstance(v, list) else 0 for v in (a, b)]
                raise DataError(
                    f"{table.origin}: {table.at(i)} has {counted(counts[0], 'step')} and "
                    f"{counted(counts[1], 'tag')}.\n"
                    "  Every step has one tag: give two lists of equal length."
                )
        labels = ragged(y)
    rest = [n for n in names if n not in (words, tags)]
    return Labelled(
        x, labels, table.frame[rest], [table.at(i) for i in range(len(x))], table.origin,
        replace(roles, sequence=(str(words),), label=() if labels is None else (str(tags),)),
        notes=(f"steps: {words!r}; tags: {tags!r}",),
    )  # fmt: skip


def _npz(path: Path, roles: Roles, *, needed: bool) -> Labelled:
    found = read_npz(path, roles, needed=needed, by_step=True)
    return found if found.labels is None else replace(found, labels=ragged(list(found.labels)))
