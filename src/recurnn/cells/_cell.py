"""What a cell is: named weights, named states, and one step written as the paper writes it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from recurnn.cells import init as _init
from recurnn.cells._weights import Weights, given_to_torch
from recurnn.cells.declared import check_declaration, check_returned, check_values, place
from recurnn.errors import RecurnnError


def affine(*gates: str, inputs: str = "I", units: str = "H", state: str = "H") -> dict[str, str]:
    """The weights of W x + U h + b, once for each gate.

    Args:
        gates: gate names; ``affine("i", "f")`` declares W_i, U_i, b_i, W_f, U_f, b_f, and
            ``affine()`` plain W, U, b.
        inputs: the letter of the input's size.
        units: the letter of the number of units of the gate.
        state: the letter of the size of the state that U multiplies.

    Returns:
        Weight name to shape, in the letters of `Cell.sizes`.
    """
    shapes: dict[str, str] = {}
    for suffix in [f"_{gate}" for gate in gates] or [""]:
        shapes |= {f"W{suffix}": f"{units} {inputs}"}
        shapes |= {f"U{suffix}": f"{units} {state}", f"b{suffix}": units}
    return shapes


class _ShowsItsEquations(type):
    """``print(LSTM)`` shows the paper and the equations; ``repr`` stays Python's."""

    def __str__(cls) -> str:
        if cls.__doc__:
            return inspect.cleandoc(cls.__doc__)
        try:
            step = inspect.getsource(cls.__dict__["step"])
        except (KeyError, OSError, TypeError):
            return repr(cls)
        return f"{cls.__name__} has no docstring; its step:\n\n{step}"


class Cell(nn.Module, metaclass=_ShowsItsEquations):
    """A recurrent cell: its weights, its states, and one step.

    A subclass declares `weights` and `states` and writes `step`, one line an equation, in
    ordinary torch operations. There are no flags, masks, lengths or dropout in a step: those
    belong to `recurnn.scan` and to the layers.

    Attributes:
        weights: weight name to shape, in the letters of `sizes`; ``"1"`` is one number for all
            units. ``b`` and the names that begin with ``b_`` are biases and are left out by
            ``bias=False``. An instance may have its own, where an argument decides how many
            there are; and so with `gates` and `start`.
        states: state name to the letter of its size, in the order in which `step` takes them.
        constants: those of `weights` that are not trained, each with a `start`; buffers.
        gates: the other values that `step` returns and that can be asked for at every time step.
        inputs: what arrives at each step beside x, such as a mask: name to the letter of its size,
            ``"1"`` for one number a row; `step` finds it as ``p.name``, [B, its size].
        output: the state that the layer above sees.
        start: initial values of weights that no general scheme fits (a gain starts at one).

    Args:
        input_size: I, the size of x.
        hidden_size: H, the number of units.
        bias: whether the biases exist.
        init: how the weights start; see `recurnn.cells.init`.
        device: where the weights live.
        dtype: their type.

    Raises:
        ConfigError: a size is not a positive whole number, or `init` names nothing.

    Example:
        >>> import torch, recurnn
        >>> class Leaky(recurnn.cells.Cell):
        ...     "h = a ⊙ h + tanh(W x)"
        ...     weights = {"W": "H I", "a": "H"}
        ...     def step(self, p, x, h):
        ...         h = p.a * h + torch.tanh(p.W @ x)
        ...         return {"h": h}
        >>> recurnn.scan(Leaky(3, 8), torch.randn(5, 2, 3)).output.shape
        torch.Size([5, 2, 8])
    """

    weights: Mapping[str, str]
    constants: tuple[str, ...] = ()
    states: ClassVar[Mapping[str, str]] = {"h": "H"}
    gates: tuple[str, ...] = ()
    inputs: Mapping[str, str] = {}
    output: ClassVar[str] = "h"
    start: Mapping[str, _init.Scheme] = {}

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        init: _init.Init = "uniform",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **sizes: int,
    ) -> None:
        super().__init__()
        self.sizes: dict[str, int] = {"I": input_size, "H": hidden_size, **sizes}
        check_declaration(self, self.sizes, self._options())
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        self.absent = () if bias else tuple(n for n in self.weights if n.split("_")[0] == "b")
        for weight, letters in self.weights.items():
            if weight not in self.absent:
                empty = torch.empty(self.shape(letters), device=device, dtype=dtype)
                if weight in self.constants:
                    self.register_buffer(weight, empty)
                else:
                    self.register_parameter(weight, nn.Parameter(empty))
        self.init = init
        self.reset_parameters()

    @classmethod
    def _options(cls) -> list[str]:
        """The names of the arguments that the class takes."""
        made_by = [c.__init__ for c in cls.__mro__ if issubclass(c, Cell)]
        parameters = [p for f in made_by for p in inspect.signature(f).parameters.values()]
        named = [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
        return [name for name in dict.fromkeys(named) if name != "self"]

    @property
    def output_size(self) -> int:
        """The size of the output of one step."""
        return self.sizes[self.states[self.output]]

    def shape(self, letters: str) -> tuple[int, ...]:
        """Letters to numbers: ``"H I"`` is ``(H, I)``."""
        return tuple(1 if letter == "1" else self.sizes[letter] for letter in letters.split())

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each weight that the cell has, by name."""
        return {k: self.shape(v) for k, v in self.weights.items() if k not in self.absent}

    def reset_parameters(self) -> None:
        """Draw the weights afresh, by the scheme given as `init`."""
        _init.initialise(self, self.init)

    def bind(self, tensors: Mapping[str, Tensor] | None = None) -> Weights:
        """The weights as `step` takes them: the given tensors, or the cell's own parameters."""
        given = self.effective(self.tensors()) if tensors is None else tensors
        return Weights(given, self.absent, self.weights)

    def effective(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The weights that a step multiplies by, made of those that are stored, once a call.

        A cell of which some connections are not there overrides this, and masks their matrix.

        Args:
            tensors: by name; constants may be missing.
        """
        return {**{k: getattr(self, k) for k in self.constants}, **tensors}

    def tensors(self) -> dict[str, Tensor]:
        """The cell's own weights by name."""
        # By attribute, not named_parameters(): a weight may be shared by two names, or be
        # computed by one of torch's parametrizations.
        return {k: getattr(self, k) for k in self.weights if k not in self.absent}

    def step(self, p: Weights, x: Tensor, *states: Any, **named: Any) -> dict[str, Tensor]:
        """One application of the cell.

        Args:
            p: the weights by name.
            x: input, [B, I].
            *states: each state, [B, its size], in the order of `states`; a subclass names them.
            **named: nothing; here so that a subclass may name its states.

        Returns:
            The new states and the gates, by name.
        """
        raise NotImplementedError

    def apply_step(self, p: Weights, x: Tensor, *states: Any) -> dict[str, Any]:
        """`step`, with a clear error where it does not return what the cell declares.

        Raises:
            ConfigError: the result is not a dict of the declared states and gates, or the step
                does with a weight what a weight cannot.
            ShapeError: the step multiplies a row of another size than a weight has.
        """
        try:
            values: dict[str, Any] = self.step(p, x, *states)
        except RecurnnError as error:
            place(error, self, error)
            raise
        except TypeError as error:
            refused = given_to_torch(error)
            if refused is None:
                raise
            place(refused, self, error)
            raise refused from None
        check_returned(self, values)
        return values

    def forward(self, x: Tensor, *states: Tensor, **inputs: Tensor) -> dict[str, Tensor]:
        """One step with the cell's own weights; same arguments as `step` after p.

        Args:
            x: input, [B, I].
            *states: each state, [B, its size].
            **inputs: each of `inputs`, [B, its size].
        """
        p = self.bind()
        p.put(inputs)
        values = self.apply_step(p, x, *states)
        check_values(self, values, x)
        return values

    @classmethod
    def equations(cls) -> str:
        """The equations of the paper: the first indented block of the docstring."""
        text = inspect.getdoc(cls) or ""
        # An empty line stands before the equations, but not before what `Args:` lists. If nothing
        # follows them, they are not indented any more.
        block = re.search(r"\n\n((?: {4,}\S.*\n?)+)", text)
        block = block or re.search(r"\n\n((?:\S.* = .*\n?)+)$", text)
        return inspect.cleandoc("\n" + block[1]) if block else ""

    def extra_repr(self) -> str:
        """The sizes, for ``print(layer)``."""
        return ", ".join(f"{letter}={size}" for letter, size in self.sizes.items())
