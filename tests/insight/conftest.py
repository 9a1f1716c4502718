"""Here the reference runs, so that no kernel need be compiled, except where a test asks for one."""

from __future__ import annotations

import sys

import pytest

import recurnn  # noqa: F401 - loads the module that is changed


@pytest.fixture(autouse=True)
def _reference(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "kernels" not in request.fixturenames:
        scan = sys.modules["recurnn.scan"]  # the name is also that of the function
        monkeypatch.setattr(scan, "find_kernel", lambda *_, **__: None)


@pytest.fixture
def kernels() -> None:
    """Asks for the compiled kernels."""
