"""A folder of image files, with one folder for each class."""

import os
import pathlib
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from kfp_mnist_mxnet.conversion.images import (
    TEST,
    TRAIN,
    WORDS,
    Layout,
    Notes,
    Part,
    Source,
    prepared,
)
from kfp_mnist_mxnet.errors import InvalidInput

HIDDEN = "._"  # what files and folders begin with that nobody put there
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
GREY = ("1", "L", "LA", "I;16", "I;16B", "I;16L")
COLOUR = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")


class Found(NamedTuple):
    """An image file whose header was read."""

    path: pathlib.Path
    class_name: str | None
    layout: Layout


def read_folder(directory: pathlib.Path) -> Source:
    """Return the images of a folder.

    directory: has a folder for each class, or train/ and test/ with these folders in each, or only
    images, whose classes are then unknown.

    Raises:
        InvalidInput: there are no images, or training images without classes.
    """
    notes = Notes()
    found = {
        name: list(find_images(place, directory, notes))
        for name, place in part_folders(directory, notes).items()
    }
    if found.keys() == {TRAIN} and not any(image.class_name for image in found[TRAIN]):
        return Source({TEST: new_part(found[TRAIN], directory, notes, labelled=False)}, notes)
    parts = {}
    for name, images in found.items():
        for image in images:
            if image.class_name is None:
                notes.add("in no folder of a class", shown(image.path, directory))
        if labelled := [image for image in images if image.class_name is not None]:
            parts[name] = new_part(labelled, directory, notes, labelled=True)
    return Source(parts, notes)


def part_folders(directory: pathlib.Path, notes: Notes) -> dict[str, pathlib.Path]:
    """Return the name and the folder of each part, or the whole as train.

    A folder is one of a part if it has folders in it and a name that says so: train may also be
    what a class is called. What lies beside parts goes to the notes.

    Raises:
        InvalidInput: two folders are the same part.
    """
    parts: dict[str, pathlib.Path] = {}
    others = []
    for place in sorted(directory.iterdir()):
        name = WORDS.get(place.name.lower())
        if name is None or not place.is_dir():
            others.append(place.name)
        elif name in parts:
            raise InvalidInput(
                f"{directory} has two folders to {name}: {parts[name].name} and {place.name}"
            )
        else:
            parts[name] = place
    if TRAIN not in parts or not any(place.is_dir() for place in parts[TRAIN].iterdir()):
        return {TRAIN: directory}
    for other in others:
        if other[0] not in HIDDEN:
            notes.add("in no part of the data set", other)
    return parts


def find_images(place: pathlib.Path, root: pathlib.Path, notes: Notes) -> Iterator[Found]:
    """Yield the images of a part in the order of their paths; what is none goes to the notes.

    The class is the name of the first folder below the part; hidden files are passed over.
    """
    for directory, folders, files in os.walk(place):
        folders[:] = sorted(name for name in folders if name[0] not in HIDDEN)
        inside = pathlib.Path(directory).relative_to(place).parts
        for name in sorted(name for name in files if name[0] not in HIDDEN):
            path = pathlib.Path(directory, name)
            try:
                layout = read_layout(path)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                notes.add(reason_of(error), shown(path, root))
            else:
                yield Found(path, inside[0] if inside else None, layout)


def read_layout(path: pathlib.Path) -> Layout:
    """Return the size and the channels of an image file, by its header.

    Raises:
        OSError: it is no image, or can't be read.
        ValueError: it has pixels of a kind that has no conversion, or too many of them.
    """
    with opened(path) as image:
        if image.mode not in GREY + COLOUR:
            raise ValueError(f"pixels of more than 16 bits (Pillow's mode {image.mode})")
        # Of others getexif would decode the pixels. 0x0112: Orientation, 5 to 8 by 90 degrees.
        known = "exif" in image.info or image.format == "TIFF"
        turned = known and image.getexif().get(0x0112, 1) >= 5
        width, height = reversed(image.size) if turned else image.size
        return Layout(height, width, 1 if image.mode in GREY else 3)


def opened(path: pathlib.Path) -> Image.Image:
    """Open an image file.

    Raises:
        OSError: it is no image of a known format, or can't be read.
        ValueError: it is no plain file, or claims more pixels than Pillow thinks safe.
    """
    if not path.is_file():  # a pipe would be waited for without end
        raise ValueError("no file")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            return Image.open(path, formats=FORMATS)
        except Image.DecompressionBombWarning as error:
            raise ValueError("more pixels than is safe to decode") from error


def reason_of(error: Exception) -> str:
    """Return why an image was left out, in a few words that are the same for all of a kind."""
    if isinstance(error, Image.UnidentifiedImageError):
        return f"no image ({', '.join(FORMATS)})"
    if isinstance(error, ValueError | Image.DecompressionBombError):
        return str(error)
    return f"can't be read ({getattr(error, 'strerror', None) or 'damaged'})"


def shown(path: pathlib.Path, root: pathlib.Path) -> str:
    """Return the path of a file below the source, as lists name it."""
    return path.relative_to(root).as_posix().encode(errors="replace").decode()


def new_part(found: list[Found], root: pathlib.Path, notes: Notes, labelled: bool) -> Part:
    """Return the part that has these images; their size is known if it is that of all.

    Raises:
        InvalidInput: there are none.
    """
    if not found:
        raise InvalidInput(
            f"{root} has no images: expected a folder for each class, or an image file "
            f"({', '.join(FORMATS)})" + "".join(f"; {line}" for line in notes.lines())
        )
    sizes = {image.layout[:2] for image in found}
    size = sizes.pop() if len(sizes) == 1 else None
    channels = max(image.layout.channels for image in found)
    origins = [shown(image.path, root) for image in found]

    def read(layout: Layout) -> Iterator[tuple[int, np.ndarray]]:
        for i, image in enumerate(found):
            try:
                with opened(image.path) as opening:
                    yield i, prepared(opening, layout)
            except (OSError, ValueError, SyntaxError) as error:
                notes.add(reason_of(error), origins[i])

    labels = [image.class_name or "" for image in found] if labelled else None
    return Part(origins, labels, size, channels, read)
