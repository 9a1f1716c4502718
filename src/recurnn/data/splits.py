"""Chronological parts of a series, by the time of the targets."""

from __future__ import annotations

from dataclasses import dataclass

from recurnn.errors import ConfigError, DataError


@dataclass(frozen=True)
class Split:
    """Where the parts of a series of ``end`` steps end: train, then validation, then test."""

    train_end: int
    validation_end: int
    end: int

    @property
    def train(self) -> tuple[int, int]:
        """Target steps ``[start, end)`` of the training part."""
        return 0, self.train_end

    @property
    def validation(self) -> tuple[int, int]:
        """Target steps ``[start, end)`` of the validation part."""
        return self.train_end, self.validation_end

    @property
    def test(self) -> tuple[int, int]:
        """Target steps ``[start, end)`` of the test part."""
        return self.validation_end, self.end


def split(
    T: int,
    *,
    validation: int | float,
    test: int | float,
    of: tuple[str, str] = ("The series", "steps"),
) -> Split:
    """Cut a series of T steps into training, validation and test, in the order of time.

    A window belongs to the part in which *all* its targets lie; its inputs may reach back into
    the part before, as they will when the model is used.

    Args:
        T: the steps of the series.
        validation: a number of steps, or, below 1, a share of the series (rounded to whole
            steps). 0 leaves the part empty.
        test: likewise.
        of: what is cut, and into what, for errors.

    Raises:
        ConfigError: a size is negative, not finite, or a float that is neither a share nor whole.
        DataError: nothing is left to train on.

    Example:
        >>> split(100, validation=0.1, test=20)
        Split(train_end=70, validation_end=80, end=100)
    """
    steps = {
        name: _steps(T, name, size, of)
        for name, size in (("validation", validation), ("test", test))
    }
    train = T - steps["validation"] - steps["test"]
    if train < 1:
        raise DataError(
            "Nothing is left to train on.\n"
            f"  {of[0]} has {T} {of[1]}; validation takes {steps['validation']}"
            f" and test {steps['test']}.\n"
            f"  Give smaller parts, or a longer {of[0].split()[-1]}."
        )
    return Split(train, train + steps["validation"], T)


def _steps(T: int, name: str, size: int | float, of: tuple[str, str]) -> int:
    if (
        isinstance(size, bool)
        or not (0 <= size < float("inf"))
        or (size >= 1 and size != int(size))
    ):
        raise ConfigError(
            f"{name}: the size of this part cannot be {size!r}.\n"
            f"  Give a share of {of[0].lower()} (0.1) or a whole number of {of[1]} (1000)."
        )
    return round(T * size) if size < 1 else int(size)
