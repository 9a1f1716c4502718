"""The weights of a cell as its step takes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from torch import Tensor
from torch.nn import functional as F

from recurnn.errors import ConfigError, ShapeError, one_of


def _refusing(sign: str) -> Callable[..., NoReturn]:
    """An operator that a matrix does not have."""

    def refuse(self: Matrix, *others: object) -> NoReturn:
        raise self.not_with(sign)

    return refuse


class Matrix:
    """A weight matrix [N, K] that multiplies as in the papers.

    ``W @ x`` with x [B, K] is W x for every row of the batch: [B, N]. It is
    ``torch.nn.functional.linear`` without a bias, and nothing else.

    Args:
        weight: the numbers.
        name: as the cell declares it, for errors.
        letters: its two sizes, for errors.
    """

    __slots__ = ("letters", "name", "weight")

    def __init__(self, weight: Tensor, name: str = "W", letters: str = "N K") -> None:
        self.weight, self.name, self.letters = weight, name, letters

    def __matmul__(self, x: Tensor) -> Tensor:
        if isinstance(x, Tensor) and x.dim() and x.shape[-1] != self.weight.shape[1]:
            columns = self.letters.split()[1]
            raise ShapeError(
                f"The step multiplies a row of {x.shape[-1]} by {self.name}.\n"
                f"  {self.name} is {self._shape()} = {list(self.weight.shape)}; expected a row of "
                f"{columns} = {self.weight.shape[1]}."
            )
        return F.linear(x, self.weight)

    @property
    def T(self) -> Matrix:  # noqa: N802 - torch's name
        """The transposed matrix: ``W.T @ h`` is Wᵀ h."""
        rows, columns = self.letters.split()
        name = self.name[:-2] if self.name.endswith(".T") else f"{self.name}.T"
        return Matrix(self.weight.T, name, f"{columns} {rows}")

    def __rmatmul__(self, x: object) -> Tensor:
        raise ConfigError(
            f"The step multiplies from the right: x @ {self.name}.\n"
            "  A weight stands before what it multiplies, as in the papers: "
            f"p.{self.name.removesuffix('.T')} @ x."
        )

    def _shape(self) -> str:
        return f"[{', '.join(self.letters.split())}]"

    def not_with(self, what: str) -> ConfigError:
        """The error of a step that does something else with a matrix than to multiply by it.

        Args:
            what: the sign, or the name of the function.
        """
        rows, columns = self.letters.split()
        return ConfigError(
            f"The step uses the matrix {self.name} with {what}.\n"
            f"  {self.name} is {self._shape()}, and all that it does is p.{self.name} @ x: of a "
            f"row [B, {columns}] it makes [B, {rows}]."
            + (
                f"\n  What acts unit by unit is a vector, of shape '{rows}'."
                if what in "*/"
                else ""
            )
        )

    __mul__ = __rmul__ = _refusing("*")
    __truediv__ = __rtruediv__ = _refusing("/")
    __add__ = __radd__ = _refusing("+")
    __sub__ = __rsub__ = __neg__ = _refusing("-")
    __pow__ = _refusing("**")
    __getitem__ = _refusing("[...]")
    __call__ = _refusing("a call")


def given_to_torch(error: TypeError) -> ConfigError | None:
    """The error of a function of torch's that a step gives a matrix, or None if that is not it.

    A `Matrix` cannot ask torch for it (`__torch_function__`): torch.compile would send every
    product there.

    Args:
        error: torch's own, such as ``linear(): argument 'weight' must be Tensor, not Matrix``.
    """
    found = re.match(r"(\w+)\(\).* not (?:Matrix|_DroppingMatrix)\b", str(error), re.DOTALL)
    if found is None:
        return None
    return ConfigError(
        f"The step uses a weight matrix with {found[1]}.\n"
        "  All that a matrix W [H, I] does is p.W @ x: of a row [B, I] it makes [B, H]."
    )


class Weights:
    """The weights of one cell by name, as ``step`` receives them: ``p.W_i``, ``p.b_i``.

    Matrices come as `Matrix`, vectors as plain tensors, and a bias of a cell without biases as
    the number 0.

    Args:
        tensors: by name.
        absent: the biases of a cell without biases.
        shapes: their letters, for errors.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        absent: tuple[str, ...] = (),
        shapes: Mapping[str, str] | None = None,
    ) -> None:
        letters = shapes or {}
        for name, tensor in tensors.items():
            matrix = tensor.dim() == 2
            value = Matrix(tensor, name, letters.get(name, "N K")) if matrix else tensor
            setattr(self, name, value)
        for name in absent:
            setattr(self, name, 0.0)

    def put(self, inputs: Mapping[str, Any]) -> None:
        """The inputs beside x, as they are at this step: ``p.m``, [B, its size]."""
        for name, value in inputs.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:  # keeps type checkers content with p.W_i
        if name.startswith("__"):
            raise AttributeError(name)
        raise one_of("step: weight", name, vars(self))
