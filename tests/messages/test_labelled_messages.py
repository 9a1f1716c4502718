"""Every message of the readers of labelled sequences, by its text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recurnn.data.labelled import Roles, read_labelled
from recurnn.errors import ConfigError, DataError, RecurnnError


def told(path: Path, text: str | bytes | dict, kind: type[RecurnnError] = DataError, **roles):
    """The message of a file, the file's name as FILE."""
    if isinstance(text, dict):
        np.savez(path, **text)
    elif isinstance(text, bytes):
        path.write_bytes(text)
    else:
        path.write_text(text)
    with pytest.raises(kind) as caught:
        read_labelled(path, Roles(**roles))
    return str(caught.value).replace(str(path), "FILE")


TEXT = "a b,x\nc,y\na,x\nd,y\n"
LONG = "id,t,a,label\nq,1,3,no\nq,2,1,no\np,1,5,yes\n"


@pytest.mark.parametrize(
    ("name", "text", "roles", "message"),
    [
        ("a.csv", "", {}, "FILE: the file is empty."),
        ("a.csv", "\n\n", {}, "FILE: the file has no rows."),
        *(("a.csv", "text,label\n", options,
           "FILE: there are column names but no rows.\n  Expected a row of values below them, or "
           "more. Is it the right file, and was it written to its end?")
          for options in ({"header": True}, {})),
        ("a.csv", "u,u\na,b\n", {"header": True},
         "FILE: two columns are named 'u'.\n  Rename one of them."),
        ("a.csv", TEXT + "\ne,f,g\n", {},
         "FILE: line 6 has 3 fields; line 1 has 2, separated by commas.\n  Every line must have as "
         "many."),
        ("a.csv", b"a,x\n\xff,y\n", {},
         "FILE: this is not UTF-8 text.\n  Byte 4, on line 2, is 0xff.\n  Convert it; if it is "
         "Latin-1, say: iconv -f latin1 -t utf-8 FILE > NEW"),
        ("a.csv", b"PK\x03\x04\x00\x00", {},
         "FILE: this is not text but a binary file.\n  Byte 4 is zero, which no text has.\n  Name "
         "the text files; of a folder by a pattern, such as 'folder/**/*.txt'."),
        ("a.csv", TEXT, {"label": ("column 3",)},
         "FILE: there is no column 'column 3'.\n  Expected, as the options or the file that the "
         "model was trained on name them: column 3.\n  Columns: column 1, column 2. Did you mean "
         "'column 2'?\n  Rename them, or say which is which: --column, --label, --id, --step."),
        ("a.csv", "a b,x\nc,\nd,x\ne,y\n", {},
         "FILE: the label at line 2 is missing (column 'column 2').\n  Leave that sequence out."),
        ("a.csv", "a b,x\n,x\nd,y\ne,y\n", {}, "FILE: the sequence at line 2 is missing."),
        ("a.csv", "1,2,3,4,5,x\n1,2,n/a,4,5,x\n1,2,3,4,5,y\n1,2,3,4,5,y\n", {},
         "FILE: column 'column 3' holds numbers, but 'n/a' at line 2.\n  Mend it, or name the "
         "columns of the sequence: --column."),
        ("a.csv", "text,more\na,b\nc,d\n", {},
         "FILE: which column is the label cannot be told.\n  Columns: text, more.\n  Name it: "
         "--label more."),
        ("a.csv", LONG.replace("q,2,1,no", "q,2,1,yes"), {},
         "FILE: the label of one sequence changes.\n  'label' is 'no' at line 2 and 'yes' at line "
         "3.\n  A sequence has one label; for one a step use recurnn tag."),
        ("a.csv", LONG.replace("q,2", "q,1"), {},
         "FILE: step 1 of 'q' comes twice, the second time at line 3.\n  Keep one of them."),
        ("a.csv", LONG.replace("p,1", ",1"), {"unique_id": "id"},
         "FILE: column 'id' is empty at line 4."),
        ("a.csv", LONG.replace("t,", "u,", 1).replace("q,2", "q,1"), {"label": ("label", "u")},
         "FILE: column 'label' of the labels does not hold numbers."),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text"\n', {},
         "FILE: line 2 is not JSON.\n  Expecting ':' delimiter: line 1 column 8 (char 7)"),
        ("a.jsonl", "[1, 2]\n", {},
         'FILE: line 1 is a list, not a JSON object.\n  Expected one a line, such as {"text": '
         '"..."}.'),
        ("a.ts", "@data\n1,2:a\n", {},
         "FILE: the sequences have no labels.\n  The header says neither @classLabel true nor "
         "@targetLabel true."),
        ("a.ts", "@univariate true\n", {},
         "FILE: there are no sequences.\n  A .ts file has them after @data."),
        ("a.ts", "@timestamps true\n@data\n", {},
         "FILE: .ts files with time stamps cannot be read."),
        ("a.ts", "@dimensions 3\n@classLabel true a\n@data\n1:2:a\n", {},
         "FILE: line 4 has 2 channels; the header says 3."),
        ("a.ts", "@classLabel true a\n@data\n1,2:3:a\n", {},
         "FILE: the channels on line 3 are of unequal length: 1, 2 steps."),
        ("a.ts", "@classLabel true a\n@data\n1,b:a\n", {},
         "FILE: line 3 has text where a number belongs.\n  could not convert string to float: 'b'"),
        ("a.ts", "@targetLabel true\n@data\n1,2:a\n", {},
         "FILE: the target on line 3 is 'a', not a number."),
        ("a.npz", {"x": np.zeros((4, 2)), "len": [1, 2], "y": [0, 1]}, {},
         "FILE: the lengths do not fit the sequences.\n  'len' adds up to 3; 'x' has 4 steps."),
        ("a.npz", {"x": np.zeros((2, 2)), "u": [0, 1], "v": [1, 2]}, {},
         "FILE: which column is the label cannot be told.\n  Columns: u, v.\n  Name it: --label "
         "v."),
        ("a.npz", {"names": np.array(["a"])}, {},
         "FILE: no array holds numbers.\n  Arrays: names."),
    ],
)  # fmt: skip
def test_files(tmp_path, name, text, roles, message):
    assert told(tmp_path / name, text, **roles) == message


def test_damaged_archives(tmp_path):
    assert told(tmp_path / "a.npz", b"nothing").startswith("FILE: this is not a readable .npz file")
    assert told(tmp_path / "a.csv.xz", b"nothing").startswith(
        "FILE: the compressed file is damaged or cut short."
    )
    np.save(tmp_path / "b.npy", np.zeros(3))
    (tmp_path / "b.npy").rename(tmp_path / "b.npz")
    with pytest.raises(DataError, match="is a single array, not an archive of arrays"):
        read_labelled(tmp_path / "b.npz")


def test_no_file(tmp_path):
    with pytest.raises(DataError, match="there is no such file"):
        read_labelled(tmp_path / "none.csv")
    with pytest.raises(DataError, match="is a folder, not a file"):
        read_labelled(tmp_path)


def test_options_that_do_not_fit(tmp_path):
    numbers = "1,2,3,0\n4,5,6,1\n7,8,9,0\n1,1,1,1\n"
    assert told(tmp_path / "a.csv", numbers, ConfigError, width=2) == (
        "width is 2, but FILE has 3 columns of numbers.\n  Every step has 2 of them: give a number "
        "that divides them."
    )
    for name, content, what in (
        ("b.csv", TEXT, "texts in column 'column 1'"),
        ("b.jsonl", '{"x": [1, 2], "y": 0}\n{"x": [3], "y": 1}\n', "lists in column 'x'"),
        ("b.csv", LONG, "a row for each step (by column 'id')"),
        ("b.npz", {"x": np.zeros((2, 2)), "y": [0, 1]}, "arrays, which say themselves what a step "
                                                        "is"),
    ):  # fmt: skip
        assert told(tmp_path / name, content, ConfigError, width=3) == (
            f"width is 3, but FILE has {what}.\n  It cuts a row of numbers, a column each, into "
            "steps of so many. Leave --width out."
        )
    with pytest.raises(ConfigError, match="width is 0; expected a whole number of at least 1"):
        Roles(width=0)
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 2)), digit=[0, 1])
    for roles, name in ((Roles(label=("digits",)), "label"), (Roles(sequence=("y",)), "array")):
        with pytest.raises(ConfigError, match=f"{name}: there is no"):
            read_labelled(tmp_path / "a.npz", roles)


def test_conditions(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 2)), y=[0, 1], take=[3, 4])
    found = read_labelled(tmp_path / "a.npz")
    for condition, message in (
        ("often", "'often' is not a condition.\n  Expected a column, a comparison and a value: "
                  '"take<5", "speaker==theo".'),
        ("tak<5", "tak<5: column: there is no 'tak'.\n  Known: take. Did you mean 'take'?"),
        ("take<few", "take<few: column 'take' holds numbers, and 'few' is none."),
    ):  # fmt: skip
        with pytest.raises(ConfigError) as caught:
            found.matching(condition)
        assert str(caught.value) == message
