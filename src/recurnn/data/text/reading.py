"""Texts from files, folders and patterns, or from what every machine has."""

from __future__ import annotations

import glob
import hashlib
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from recurnn.data.text.decoding import Column, Reading, documents_of
from recurnn.data.text.texts import Texts
from recurnn.errors import DataError, KindError

Source = str | Path
_APART = (
    "site-packages", "dist-packages", "test", "tests", "idlelib", "__pycache__",
    "encodings", "pydoc_data",  # tables that programs wrote
)  # fmt: skip
_NAMED = 80  # characters of a name that an error prints
LIBRARY_CHARACTERS = 5_000_000
"""The size of the text that is there when no file is named."""


def read_texts(
    source: Source | Sequence[Source] | None = None,
    *,
    column: Column | None = None,
    header: bool | None = None,
    join: str = "\n",
    documents: str = "file",
) -> Texts:
    """Read documents of text.

    What a file is, its name says, after ``.xz`` or ``.gz``: ``.csv``, ``.tsv`` and ``.parquet``
    are tables, each row a document; ``.jsonl`` and ``.ndjson`` have a JSON object or string a
    line; anything else is plain text. With `column` a plain text is a table too, its columns
    separated by tabs. All text is UTF-8; a byte-order mark is dropped, and the line ends of
    Windows become line feeds. In a folder every file below it is read, in the order of their names,
    except hidden ones.

    Args:
        source: a file, a folder or a pattern such as ``"news/**/*.txt"``; or several. None for
            the source text of Python's own standard library, of bounded size.
        column: the column or key that holds the text: its name, or in a file without a header its
            place, counted from 1; several are joined. JSON lines have ``"text"`` by default.
        header: whether a table's first line names its columns; by default, unless `column` is a
            number.
        join: what stands between several columns.
        documents: what is one document of a plain text: ``"file"``, ``"line"`` or
            ``"paragraph"``; the white space around a line or a paragraph is dropped.

    Raises:
        DataError: a file is missing, damaged, binary, not UTF-8 (with the byte), or has no such
            column; nothing fits the pattern; there is no text.
        ConfigError: an option that cannot be.
    """
    reading = Reading(column, header, join, documents)
    if source is None:
        return python_library()
    sources = [source] if isinstance(source, str | Path) else list(source)
    for one in sources:
        if not isinstance(one, str | Path):
            raise KindError(
                f"A source of text is {one!r} ({type(one).__name__}); expected a file, a folder "
                "or a pattern.\n  Texts that are in memory: recurnn.data.text.Texts.of([...])."
            )
    files = [file for one in sources for file in _files(one)]
    texts: list[str] = []
    names: list[str] = []
    empty = []
    for file in files:
        found = documents_of(file, reading)
        if not found:
            empty.append(str(file))
        texts += found
        several = len(found) > 1
        names += [f"{file}, document {k}" if several else str(file) for k in range(len(found))]
    if not texts:
        what = f"{empty[0]}: the text is empty." if empty else "There is no text."
        raise DataError(f"{what}\n  Files read: {len(files)}; none has anything but white space.")
    notes = (f"left out because they are empty: {', '.join(empty[:5])}",) if empty else ()
    return Texts(tuple(texts), tuple(names), notes)


def _files(source: Source) -> list[Path]:
    """The files that a path or a pattern stands for."""
    path = Path(source)
    if not str(source):
        raise DataError(
            "The name of the text's file is empty.\n  Give a file, a folder or a pattern."
        )
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except OSError:  # no file can have such a name
        is_file = is_folder = False
    if is_file:
        return [path]
    if is_folder:
        found = sorted(
            p
            for p in path.rglob("*")
            if p.is_file() and not any(k.startswith(".") for k in p.relative_to(path).parts)
        )
        if not found:
            raise DataError(f"{path}: there is no file in this folder.")
        return found
    if glob.has_magic(str(source)):
        found = sorted(p for p in map(Path, glob.glob(str(source), recursive=True)) if p.is_file())
        if not found:
            raise DataError(f"{source}: no file fits this pattern.")
        return found
    name = str(source)
    shown = name if len(name) <= _NAMED else f"{name[:_NAMED]!r}..."
    hint = "\n  A text itself is recurnn.data.text.Texts.of(text)." if " " in name else ""
    raise DataError(f"{shown}: there is no such file.{hint}")


def python_library(characters: int = LIBRARY_CHARACTERS) -> Texts:
    """The source text of Python's standard library, a module a document.

    Of a library larger than `characters` some modules are left out, the same on every machine
    that has this version of Python. Tests are left out, and what is installed beside the library.

    Args:
        characters: the text has at most so many.

    Raises:
        DataError: this Python came without source text.

    Example:
        >>> python_library(50_000).names[0].endswith(".py")
        True
    """
    folder = Path(sysconfig.get_path("stdlib"))
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*.py")]
    kept = [n for n in names if not set(n.split("/")[:-1]) & set(_APART)]
    chosen: dict[str, str] = {}
    room = characters
    for name in sorted(kept, key=lambda n: hashlib.sha256(n.encode()).digest()):
        try:
            text = (folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if text and len(text) <= room:
            chosen[name] = text
            room -= len(text)
    if not chosen:
        raise DataError(
            "This Python came without the source text of its library.\n"
            f"  There is none in {folder}. Name a text file to read."
        )
    order = sorted(chosen)
    note = f"no file was named: the source text of Python's library, {len(order)} modules"
    return Texts(tuple(chosen[n] for n in order), tuple(order), (note,))
