"""How large the gradient of each state is at every step: `GradientNorms`."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from recurnn.errors import ConfigError, one_of

Norms = Any
"""What layers within layers are given to fill: a `GradientNorms`, or a list or tuple of these."""


def each_of(norms: Norms) -> Iterator[GradientNorms]:
    """Every `GradientNorms` in what a layer was given, whatever the form."""
    if isinstance(norms, GradientNorms):
        yield norms
    elif isinstance(norms, list | tuple):
        for one in norms:
            yield from each_of(one)


def move(norms: Norms, at: Tensor) -> None:
    """As `GradientNorms.move`, of every one in what a layer was given."""
    for one in each_of(norms):
        one.move(at)


def check_norms(name: str, given: object) -> None:
    """Refuse what is neither None nor a `GradientNorms`.

    Args:
        name: of what it was given to, for the error.
        given: what is to be filled.
    """
    if not isinstance(given, GradientNorms | None):
        raise ConfigError(
            f"{name}: gradient_norms is {given!r}.\n"
            "  Expected a recurnn.GradientNorms(), which the backward pass fills."
        )


def check_distinct(name: str, norms: Norms) -> None:
    """Refuse one `GradientNorms` in two places: it would keep what came last.

    Args:
        name: of the layer, for the error.
        norms: what it was given.
    """
    found = list(each_of(norms))
    if len({id(one) for one in found}) < len(found):
        raise ConfigError(
            f"{name}: gradient_norms has the same GradientNorms twice.\n"
            "  Give each layer and direction one of its own."
        )


class GradientNorms:
    """The Euclidean norm of dL/dstate_t, for every state, row and step of one scan.

    Given to `recurnn.scan` as ``gradient_norms``, it is filled by the backward pass, which holds
    these gradients anyway. The gradient is the whole one: what comes from the outputs, from later
    steps, and from later equations of the same step. A backward pass replaces what the one before
    it has left.

    Example:
        >>> import torch, recurnn
        >>> cell, norms = recurnn.cells.LSTM(3, 8), recurnn.GradientNorms()
        >>> y = recurnn.scan(cell, torch.randn(7, 2, 3), gradient_norms=norms).output
        >>> y[-1].sum().backward()
        >>> norms["h"].shape, norms.states
        (torch.Size([7, 2]), ('h', 'c'))
    """

    def __init__(self) -> None:
        self._norms: dict[str, Tensor] = {}
        self._states: tuple[str, ...] = ()
        self._steps = 0
        self._pass = -1
        self._at: Tensor | None = None

    @property
    def states(self) -> tuple[str, ...]:
        """The states of the cell, in its order."""
        return self._states

    @property
    def ready(self) -> bool:
        """Whether a backward pass has filled them."""
        return bool(self._norms)

    def __getitem__(self, state: str) -> Tensor:
        """The norms of one state's gradients, [T, B]; zero past a row's length.

        Raises:
            ConfigError: no backward pass has run yet, or the cell has no such state.
        """
        if not self._norms:
            raise ConfigError(
                "GradientNorms: there are none yet.\n  Give it to recurnn.scan as gradient_norms, "
                "and run the backward pass of what the scan returned."
            )
        if state not in self._norms:
            raise one_of("GradientNorms: state", state, self._norms)
        found = self._norms[state]
        return found if self._at is None else found.gather(0, self._at)

    def begin(self, states: Iterable[str], steps: int) -> None:
        """A scan begins, of this many steps."""
        if torch.compiler.is_compiling():
            raise ConfigError(
                "gradient_norms: torch.compile cannot fill them.\n  Call the scan outside of it."
            )
        self._norms, self._states, self._steps = {}, tuple(states), steps
        self._at = None

    def move(self, at: Tensor) -> None:
        """The scan has its steps in another order: step t of row b at ``at[t, b]``.

        Where layers stand within layers each may say so, the innermost first.
        """
        self._at = at if self._at is None else self._at.gather(0, at)

    def put(self, states: Iterable[str], squares: Iterable[Tensor]) -> None:
        """What a kernel gives: for each state the sums of squares, [T, B, 1]."""
        found = dict(zip(states, squares, strict=True))
        self._norms = {k: found[k].squeeze(-1).sqrt() for k in self._states}

    def watch(
        self, values: Mapping[str, Tensor], state: Mapping[str, Tensor], x: Tensor, t: int
    ) -> dict[str, Tensor]:
        """Note the gradients of the states that one step of the reference has computed.

        Args:
            values: what the step has returned.
            state: the states before the step.
            x: the scan's input, for its type and the number of rows.
            t: the step.

        Returns:
            The values, of which those that are states before the step have an identity of their
            own: their gradient is not that of the state before.
        """
        before = {id(s) for s in state.values()}
        values = {k: v.view_as(v) if id(v) in before else v for k, v in values.items()}
        for k in self._states:
            if values[k].requires_grad:
                note = functools.partial(self._note, k, x.shape[1], t)
                values[k].register_hook(note)  # type: ignore[no-untyped-call]
        return values

    def _note(self, state: str, rows: int, t: int, gradient: Tensor) -> None:
        number = torch._C._current_graph_task_id()
        if number != self._pass or not self._norms:
            self._pass = number
            self._norms = {k: gradient.new_zeros(self._steps, rows) for k in self._states}
        self._norms[state][t] = gradient.detach().flatten(1).norm(dim=-1)
