"""From an image file, a PIL image or an array to pixels of one size.

Everything about a single picture is here: which files are opened at all, how
they are decoded, where transparency lands and how the size is changed.
"""
import contextlib
import io
import operator
import os

import numpy as np
from PIL import (BmpImagePlugin, GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin,
                 WebPImagePlugin, features)

from ..common.arguments import is_path
from ..common.cache import stream_hash
from ..common.regular_file import NotRegularError, open_regular
from ..errors import ImageError
from .decoding import (BYTES_A_PIXEL, as_resize, check_pixels, from_array, too_large,
                       upright_rgb)
from .jpeg_file import JpegFile
from .sequences import MissingImage, content_of, is_encoded

# More pixels of a JPEG than of others are allowed, as many times, for it is decoded at a fraction of
# its size; and less of WebP, whose decoder keeps several copies.
_JPEG_SHARE = 4.0
_WEBP_SHARE = 0.7

# Pillow decodes run-lengths in Python.
_MOST_RUN_LENGTH_PIXELS = 8000000


class _JpegWithoutTags(JpegImagePlugin.JpegImageFile):
    """A JPEG whose Exif data are not gone through for a resolution, on opening, that nobody asks for.

    Hostile data make Pillow warn thousands of times on the way, and take memory.
    """

    def getexif(self):
        """No tags."""
        return {}


# The decoders are called directly and never through Image.open: no other
# decoder ever sees the file, in any version of Pillow, and Image.open's warning
# about huge images, which only process-wide filters could catch, is not needed.
_DECODERS = {
    "JPEG": _JpegWithoutTags,
    "PNG": PngImagePlugin.PngImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}

def read_image(image, input_size, resize="pad"):
    """Read one image as RGB pixels of a given size.

    The format of a file is decided by its content; JPEG, PNG, BMP, GIF and WebP
    are read. EXIF orientation is obeyed, transparent pixels land on white (where all are
    transparent, that is left out), the first frame of an animation is taken, and 16 bits
    are scaled to 8, also where only the lower 8, 10, 12 or 14 of them are used.

    An image that ``PIL.Image.open`` returned obeys its EXIF orientation as its file would;
    one that was made of it (turned, converted, copied) is taken as it is.

    Parameters
    ----------
    image : str, pathlib.Path, bytes, memoryview, file object, PIL.Image.Image or uint8 ndarray
        A file, what one holds, one that is open (read to its end), an opened image, or an array of shape (h, w), (h, w, 1),
        (h, w, 3) or (h, w, 4), the last with transparency. Colours are red, green and blue:
        what OpenCV reads is in the reverse order, ``image[..., ::-1]`` turns it.
    input_size : int or (int, int)
        Side of a square, or height and width, in pixels.
    resize : {"pad", "stretch", "crop"}
        "pad" shrinks or enlarges the picture until it just fits and centres it on
        white; "stretch" ignores the ratio of its sides; "crop" takes what it can from the
        middle.

    Returns
    -------
    pixels : uint8 ndarray of shape (height, width, 3)
        A new array.

    Raises
    ------
    ImageError
        The image cannot be read; says which and why.
    TypeError
        `image` is none of the accepted types.
    ValueError
        `input_size` or `resize` is out of range.
    """
    return centred_on_white(read_picture(content_of(image), input_size, resize), input_size)


def read_picture(image, input_size, resize="pad", see_content=None):
    """Read one image as `read_image` does, without borders.

    Parameters
    ----------
    image, input_size, resize
        As for `read_image`, but for file objects, which `content_of` reads.
    see_content : callable, optional
        Called, if the image is a file, with the SHA-256 of what was decoded, or None if the file
        was changed meanwhile.

    Returns
    -------
    PIL.Image.Image
        RGB, of the given size along one axis at least.

    Raises
    ------
    ImageError, TypeError, ValueError
        As `read_image` raises them.
    """
    height, width = size_pair(input_size)
    resize = as_resize(resize)
    if is_path(image):
        name = str(image)
        with _opened(name) as (opened, stream), _as_image_error(name, _decoding_reason):
            before = os.fstat(stream.fileno())
            picture = upright_rgb(opened, (width, height), resize, draft=True)
            if see_content is not None:
                see_content(_content_of(stream, before))
            return picture
    if is_encoded(image):
        name = "({} bytes)".format(len(image))
        with _as_image_error(name, _decoding_reason):
            opened = _decoder_of(io.BytesIO(image), name, len(image))
            return upright_rgb(opened, (width, height), resize, draft=True)
    if isinstance(image, Image.Image):
        name = _describe(image)
        _check_size(image, name)
        with _as_image_error(name, _decoding_reason):
            return upright_rgb(image, (width, height), resize)
    if isinstance(image, np.ndarray):
        name = "array of shape {} and type {}".format(image.shape, image.dtype)
        with _as_image_error(name, _decoding_reason):
            return upright_rgb(from_array(image, name), (width, height), resize)
    if isinstance(image, MissingImage):
        raise image.error()
    raise TypeError("an image must be a path, the bytes of a file, a PIL image or a uint8 array, not "
                    "{}".format(type(image).__name__))


def centred_on_white(picture, input_size):
    """Put a picture in the middle of white.

    Parameters
    ----------
    picture : PIL.Image.Image
        In RGB, not larger than `input_size`.
    input_size : int or (int, int)

    Returns
    -------
    uint8 ndarray of shape (height, width, 3)
        A new array.
    """
    height, width = size_pair(input_size)
    inner_width, inner_height = picture.size
    if (inner_height, inner_width) == (height, width):
        return np.array(picture)
    pixels = np.full((height, width, 3), 255, dtype=np.uint8)
    top = (height - inner_height) // 2
    left = (width - inner_width) // 2
    pixels[top:top + inner_height, left:left + inner_width] = np.asarray(picture)
    return pixels


@contextlib.contextmanager
def open_image(path):
    """Open an image file and look at its header, without decoding it.

    Parameters
    ----------
    path : str
        A regular file; symbolic links are followed.

    Yields
    ------
    image : PIL.Image.Image
        Not decoded yet; its file is closed when the block ends.

    Raises
    ------
    ImageError
        No such file, not a regular file, not an image of a known format, more
        pixels than ``PIL.Image.MAX_IMAGE_PIXELS`` (in a JPEG up to four times as many, for it
        is decoded at a fraction of its size), or a file made to take long.
    """
    with _opened(path) as (image, _):
        yield image


def size_pair(size):
    """Turn an image size, an int or (height, width), into a pair of ints.

    Raises
    ------
    ValueError
        It is neither, or not positive.
    """
    try:
        try:
            height = width = operator.index(size)
        except TypeError:
            height, width = (operator.index(side) for side in size)
    except (TypeError, ValueError):
        raise ValueError("a size must be a whole number of pixels or (height, width), "
                         "not {!r}".format(size)) from None
    if height < 1 or width < 1:
        raise ValueError("a size must be at least 1 pixel, not {!r}".format(size))
    return height, width


# Opening

@contextlib.contextmanager
def _opened(path):
    """What `open_image` yields, and the file that it is read from."""
    with _as_image_error(path, _opening_reason):
        stream = open_regular(path)
    with contextlib.closing(stream):
        yield _decoder_of(stream, path, os.fstat(stream.fileno()).st_size), stream


def _decoder_of(stream, name, size):
    """The image in a file of so many bytes, open at its beginning; not decoded yet."""
    with _as_image_error(name, _opening_reason):
        start = stream.read(32)
        stream.seek(0)
    format_name = _format_of(start)
    if format_name is None:
        raise ImageError(name, _why_unknown(start))
    if format_name == "WebP" and not features.check("webp"):
        raise ImageError(name, "this installation of Pillow cannot read WebP images")
    with _as_image_error(name, _opening_reason):
        image = _DECODERS[format_name](
            JpegFile(stream, name, size) if format_name == "JPEG" else stream)
    _check_size(image, name)
    if format_name == "BMP":
        _check_run_lengths(image, size, name)
    return image


def _content_of(stream, before):
    """SHA-256 of an open file; None if it is no longer as it was, by what fstat said before."""
    stream.seek(0)
    content = stream_hash(stream)
    after = os.fstat(stream.fileno())
    is_same = all(getattr(before, name) == getattr(after, name)
                  for name in ("st_size", "st_mtime_ns", "st_ctime_ns"))
    return content if is_same else None


def _format_of(start):
    """Name of the format that a file's first bytes announce, or None."""
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WebP"
    if start.startswith(b"BM"):
        return "BMP"
    return None


def _why_unknown(start):
    """Say what a file is that is no image of a known format, as far as its start tells."""
    if not start:
        return "the file is empty"
    kind = None
    if start[4:8] == b"ftyp":
        kind = "a HEIC, AVIF or video file"
    elif start.startswith((b"II*\0", b"MM\0*")):
        kind = "a TIFF or raw camera file"
    elif start.startswith(b"%PDF"):
        kind = "a PDF document"
    if kind is None:
        return "it is not a JPEG, PNG, BMP, GIF or WebP image"
    return "it is {}, which is not read here; save it as JPEG or PNG".format(kind)


def _check_size(image, name):
    """Refuse pictures without pixels, with too many, and such as take very long to decode."""
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(name, "it has no pixels")
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        _check_jpeg_size(image, name)
        return
    check_pixels(image, name, _WEBP_SHARE if image.format == "WEBP" else 1.0)


def _check_jpeg_size(image, name):
    """Refuse a JPEG whose coefficients may take too much memory; its pixels count when decoded."""
    width, height = image.size
    limit = Image.MAX_IMAGE_PIXELS
    if limit is None:
        return
    # Numbers of 0 are an error that the decoder finds.
    horizontal, vertical = [[max(1, layer[i]) for layer in image.layer] or [1] for i in (1, 2)]
    coefficients = sum(h * v for h, v in zip(horizontal, vertical))
    coefficient_bytes = 2.0 * coefficients / (max(horizontal) * max(vertical))
    most = limit * min(_JPEG_SHARE, BYTES_A_PIXEL / coefficient_bytes)
    if width * height > most:
        raise ImageError(name, too_large(width, height, most))


def _check_run_lengths(image, size, name):
    """Refuse a BMP whose run-lengths would take long, for its size or for codes without pixels."""
    if not any(tile[0] == "bmp_rle" for tile in image.tile):
        return
    width, height = image.size
    if width * height > _MOST_RUN_LENGTH_PIXELS:
        raise ImageError(name, "it is a BMP of run-lengths with more than the {:,} pixels allowed; save "
                         "it as PNG".format(_MOST_RUN_LENGTH_PIXELS))
    if size > 2 * width * height + 4 * height + (1 << 16):
        raise ImageError(name, "it is a BMP of run-lengths that is larger than its pixels; save it as "
                         "PNG")


# Reasons

@contextlib.contextmanager
def _as_image_error(name, reason_of):
    """Turn whatever Pillow or the system raises into an ImageError."""
    try:
        yield
    except ImageError:
        raise
    except Exception as error:  # damaged files make decoders raise nearly anything
        raise ImageError(name, reason_of(error)) from error


def _opening_reason(error):
    if isinstance(error, NotRegularError):
        return str(error)
    if isinstance(error, UnicodeError) or "null byte" in str(error) or "null character" in str(error):
        return "this text cannot be a path ({})".format(_message(error))
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if "unsupported" in str(error).lower():
        return "it is of a kind that Pillow cannot read ({})".format(_message(error))
    return "its header is damaged or cut short"


def _decoding_reason(error):
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, EOFError) or "truncated" in str(error).lower():
        return "the file is truncated: the end of the picture is missing"
    return "the picture is damaged ({})".format(_message(error))


def _message(error):
    return str(error).strip().rstrip(".") or type(error).__name__


def _describe(image):
    width, height = image.size
    return getattr(image, "filename", "") or "PIL image, {} of {} x {} pixels".format(
        image.mode, width, height)
