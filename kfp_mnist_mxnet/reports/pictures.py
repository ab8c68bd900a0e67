"""Images as data URIs."""

import base64
import io

import numpy as np
from PIL import Image


def picture(image: np.ndarray) -> str:
    """Return a uint8 image (C, H, W) with 1, 3 or 4 channels as a PNG data URI.

    Other numbers of channels are shown by their first one.
    """
    shown = np.moveaxis(image, 0, -1) if image.shape[0] in (3, 4) else image[0]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(shown)).save(buffer, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
