"""How large the gradient of each state is at every step: `GradientNorms`."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from recurnn.errors import ConfigError, one_of


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
        self._norms, self._states, self._steps = {}, tuple(states), steps
        self._at = None

    def move(self, at: Tensor) -> None:
        """The scan has its steps in another order: step t of row b at ``at[t, b]``."""
        self._at = at

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
        self._norms[state][t] = gradient.detach().norm(dim=-1)
