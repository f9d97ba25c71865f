"""Decoding: any image file to RGB, safely, and to a square of given size."""

import io
import os
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lens.errors import LensError

MAX_PIXELS = 64_000_000
# Only formats that Pillow decodes by itself: its EPS reader, for one, would start another program.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
WHITE = (255, 255, 255)
CANNOT_BE_READ = " cannot be read: "

ImageSource = str | os.PathLike[str] | bytes | BinaryIO


def load_rgb(source: ImageSource, max_pixels: int = MAX_PIXELS, at_least: int | None = None) -> Image.Image:
    """Decodes an image completely, whatever its mode, as upright 8-bit RGB.

    EXIF rotation is applied, transparency is laid on white, 16-bit values are scaled (not clipped), and of an
    animation the first frame is taken. No global setting of Pillow is changed.

    Args:
        source: a path, the bytes of a file, or an open binary file.
        max_pixels: refused above this many pixels, before anything is decoded.
        at_least: where given, a JPEG may come smaller than stored, with both sides still at least this many pixels.

    Raises:
        LensError: naming the file and the reason, for a file that is missing, empty, truncated, without pixels,
            too large, or no image of a known format.
    """
    try:
        return _decode(source, max_pixels, at_least)
    except _Unreadable as error:
        raise LensError(f"{_name(source)}{CANNOT_BE_READ}{error}") from error.__cause__


def fit_square(image: Image.Image, size: int) -> np.ndarray:
    """The whole image, in its proportions, centred on a white square.

    Args:
        image: RGB, any size.
        size: side of the square in pixels.

    Returns:
        uint8 [size, size, 3].
    """
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    if (width, height) != image.size:
        # reducing_gap first shrinks by a whole factor: much faster on large photographs, hardly different.
        image = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
    square = np.full((size, size, 3), 255, dtype=np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = np.asarray(image)
    return square


class _Unreadable(Exception):
    """Why an image cannot be read."""


def _name(source: ImageSource) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    return str(getattr(source, "name", "the image"))


def _decode(source: ImageSource, max_pixels: int, at_least: int | None) -> Image.Image:
    try:
        _refuse_empty(source)
        opened = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(opened, formats=FORMATS) as image:
            _check_size(image, max_pixels)
            if at_least is not None:
                image.draft(None, (at_least, at_least))
            image.load()
            return _to_rgb(_upright(image))
    except _Unreadable:
        raise
    except FileNotFoundError as error:
        hint = "; where \\x stands for a byte that is not UTF-8, rename it" if "\\x" in _name(source) else ""
        raise _Unreadable(f"there is no such file{hint}") from error
    except UnidentifiedImageError as error:
        raise _Unreadable(f"it is damaged or no {', '.join(FORMATS)} image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _Unreadable(f"it has more pixels than the limit of {max_pixels:,}") from error
    except Exception as error:  # Pillow's decoders raise almost anything on a damaged file
        raise _Unreadable(f"it is damaged ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


def _refuse_empty(source: ImageSource) -> None:
    if isinstance(source, str | os.PathLike):
        if Path(source).is_dir():
            raise _Unreadable("it is a folder")
        size = os.stat(source).st_size
    elif isinstance(source, bytes):
        size = len(source)
    else:
        size = source.seek(0, os.SEEK_END)
        source.seek(0)
    if size == 0:
        raise _Unreadable("it is empty (0 bytes)")


def _check_size(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height == 0:
        raise _Unreadable(f"it has no pixels ({width} x {height})")
    if width * height > max_pixels:
        raise _Unreadable(f"its {width} x {height} pixels are more than the limit of {max_pixels:,}")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, LookupError, TypeError, struct.error):
        # Damaged EXIF data say nothing about the picture itself.
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bit(image)
    if image.has_transparency_data:
        straight = image.convert("LA") if image.mode == "La" else image
        layer = straight.convert("RGBA")
        white = Image.new("RGBA", layer.size, (*WHITE, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    # A copy, so that the caller never holds the open file.
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Integers are read as 0..65535; floating point as 0..1, or 0..255 where a value is above 1."""
    values = np.asarray(image).astype(np.float64)
    white = 65535.0 if image.mode != "F" else (1.0 if values.max() <= 1.0 else 255.0)
    return Image.fromarray(np.rint(np.clip(values / white, 0.0, 1.0) * 255).astype(np.uint8))
