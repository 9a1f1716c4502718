"""Commands run in this process: what they print, and how they refuse."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from recurnn.cli import app, main


def outcome(*arguments: object) -> tuple[int, str]:
    """Exit status and standard output of a command."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def run(*arguments: object) -> str:
    """The standard output of a command that must end well."""
    status, printed = outcome(*arguments)
    assert status == 0, printed
    return printed


def failing(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The standard error of a command that must end with status 2 and print no traceback."""
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    assert caught.value.code == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text
