"""The benchmark of language models: what it takes for the form of a poem."""

from __future__ import annotations

from language import form


def test_the_form_of_a_tune_is_the_characters_of_its_clauses():
    first = "常记溪亭日暮，沉醉不知归路。兴尽晚回舟，误入藕花深处。争渡。争渡。惊起一滩鸥鹭。"
    second = "昨夜雨疏风骤，浓睡不消残酒。试问卷帘人，却道海棠依旧。知否。知否。应是绿肥红瘦。"
    assert form(first) == (6, 6, 5, 6, 2, 2, 6)
    assert form(second + "\n") == form(first)
    assert form(second.replace("残", "")) != form(first)
