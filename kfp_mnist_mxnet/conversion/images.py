"""What the kinds of sources have in common: parts, and images of one size and colour."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

TRAIN, TEST, VALIDATION = "train", "test", "validation"
# The words by which people call the parts of a data set.
WORDS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("test", "testing", "t10k"), TEST),
    **dict.fromkeys(("val", "valid", "validation", "dev"), VALIDATION),
}


def part_in(text: str) -> str:
    """Return the part of a data set that a name speaks of, empty if it speaks of none."""
    words = re.findall("[a-z0-9]+", text.lower())
    return next((WORDS[word] for word in words if word in WORDS), "")


class Layout(NamedTuple):
    """What every image is brought to: height and width in pixels, 1 channel or 3."""

    height: int
    width: int
    channels: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an image as it is stored: (H, W), or (H, W, 3)."""
        return (self.height, self.width, 3)[: 2 + (self.channels > 1)]

    def __str__(self) -> str:
        return f"{self.height} x {self.width}, {'grey' if self.channels == 1 else 'colour'}"


@dataclasses.dataclass
class Part:
    """The images of one part of a source, in an order that is always the same.

    origins: where each image comes from, as predictions are led back to it; labels: the name of
    each image's class, None if they are not known; size: height and width, None if they differ;
    channels: 1 if all are grey, else 3; read: yields the number and the image, of a layout, of each
    that can be read.
    """

    origins: Sequence[str]
    labels: Sequence[str] | None
    size: tuple[int, int] | None
    channels: int
    read: Callable[[Layout], Iterator[tuple[int, np.ndarray]]]

    def __add__(self, other: "Part") -> "Part":
        """Return the part that has the images of both, of which all or none have labels."""
        count = len(self.origins)

        def read(layout: Layout) -> Iterator[tuple[int, np.ndarray]]:
            yield from self.read(layout)
            yield from ((count + i, image) for i, image in other.read(layout))

        return Part(
            [*self.origins, *other.origins],
            None if self.labels is None else [*self.labels, *(other.labels or ())],
            self.size if self.size == other.size else None,
            max(self.channels, other.channels),
            read,
        )


class Source:
    """What was found: train, test or both by name; notes: what was left out, and why.

    parts: also `validation`, which is for training where there are images to test with, as ingest
    holds out its own; else it is for testing.
    """

    def __init__(self, parts: dict[str, Part], notes: "Notes") -> None:
        self.parts, self.notes = dict(parts), notes
        validation = self.parts.pop(VALIDATION, None)
        if validation and TEST in self.parts and TRAIN in self.parts:
            self.parts[TRAIN] += validation
        elif validation:
            self.parts[TEST] = validation


class Notes:
    """What is left out of a conversion: how often each reason was given, and examples."""

    EXAMPLES = 3

    def __init__(self) -> None:
        self.origins: dict[str, list[str]] = {}

    def add(self, reason: str, origin: str) -> None:
        """Leave something out."""
        self.origins.setdefault(reason, []).append(origin)

    def lines(self) -> list[str]:
        """Return a line for each reason."""
        lines = []
        for reason, origins in self.origins.items():
            shown = ", ".join(origins[: self.EXAMPLES])
            more = ", ..." if len(origins) > self.EXAMPLES else ""
            lines.append(f"{len(origins):,} left out, {reason}: {shown}{more}")
        return lines


def prepared(image: Image.Image, layout: Layout) -> np.ndarray:
    """Return an image as uint8 (H, W) or (H, W, 3).

    It is turned as its EXIF data say; what is transparent becomes white; grey is ITU-R 601-2 luma;
    another size is scaled with its proportions kept, with black at the sides.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, colours)
    image = image.convert("L" if layout.channels == 1 else "RGB")
    if image.size != (layout.width, layout.height):
        image = ImageOps.pad(image, (layout.width, layout.height))
    return np.asarray(image)
