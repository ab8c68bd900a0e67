"""What values a hyperparameter may have.

kind: the type of a value. unset: the value that leaves the hyperparameter to the recipe. checked:
returns a value in its own type, or raises InvalidInput where it is out of range.
"""

import dataclasses
import math
from typing import ClassVar

from kfp_mnist_mxnet.errors import InvalidInput


@dataclasses.dataclass(frozen=True)
class Count:
    """A whole number in a range."""

    least: int = 1
    most: int = 1_000_000
    kind: ClassVar[type] = int
    unset: ClassVar[int] = -1

    def checked(self, name: str, value: int) -> int:
        """Return the number."""
        if value < self.least:
            raise InvalidInput(f"{name} must be at least {self.least}, got {value}")
        if value > self.most:
            raise InvalidInput(f"{name} must be at most {self.most:,}, got {shorten(value)}")
        return value


@dataclasses.dataclass(frozen=True)
class Number:
    """A finite number from 0 on, below a limit if there is one; positive: and not 0."""

    below: float = math.inf
    positive: bool = False
    kind: ClassVar[type] = float
    unset: ClassVar[float] = -1.0

    def checked(self, name: str, value: float) -> float:
        """Return the number as a float: a whole one comes from JSON as an integer."""
        if not 0 <= value < self.below or (self.positive and value == 0):
            limit = f"at least 0 and below {self.below:g}"
            if self.positive:
                limit = "a positive number"
            elif self.below == math.inf:
                limit = "a finite number, at least 0"
            raise InvalidInput(f"{name} must be {limit}, got {value}")
        return float(value)


@dataclasses.dataclass(frozen=True)
class Word:
    """One of some words."""

    choices: tuple[str, ...]
    kind: ClassVar[type] = str
    unset: ClassVar[str] = ""

    def checked(self, name: str, value: str) -> str:
        """Return the word."""
        if value not in self.choices:
            raise InvalidInput(f"{name} must be one of {', '.join(self.choices)}, got {value!r}")
        return value


@dataclasses.dataclass(frozen=True)
class Sizes:
    """A list of positive whole numbers; inferable: its last entry may be -1."""

    inferable: bool = False
    kind: ClassVar[type] = list
    unset: ClassVar[list[int]] = []

    def checked(self, name: str, value: list[float]) -> list[int]:
        """Return the list as integers: kfp hands lists of whole numbers over as floats."""
        if len(value) > 100:
            raise InvalidInput(f"{name} must have at most 100 entries, got {len(value)}")
        inferred = self.inferable and value[-1:] == [-1]
        for size in value[:-1] if inferred else value:
            if type(size) not in (int, float) or not size >= 1 or (size < 2**63 and size % 1):
                raise InvalidInput(f"{name} must be positive whole numbers, got {shorten(value)}")
            if size > 1_000_000:
                raise InvalidInput(f"{name} must be at most 1,000,000, got {shorten(size)}")
        return [int(size) for size in value]


Rule = Count | Number | Word | Sizes


def shorten(value: object) -> str:
    """Return a value as messages show it: its start, if it is long."""
    if isinstance(value, int) and abs(value) >= 2**63:
        return f"a number of {value.bit_length()} bits"
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write more than 4,300 digits
        return f"a {type(value).__name__} with a number of thousands of digits"
    return text if len(text) <= 200 else text[:200] + "..."
