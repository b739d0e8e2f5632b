"""From an image file, a PIL image or an array to pixels of one size.

Everything about a single picture is here: which files are opened at all, how
they are decoded, where transparency lands and how the size is changed.
"""
import contextlib
import operator
import os
import stat

import numpy as np
from PIL import (BmpImagePlugin, GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin,
                 WebPImagePlugin, features)

from ..common.arguments import is_path
from ..errors import ImageError
from .jpeg_file import JpegFile

RESIZE_RULES = ("pad", "stretch")

_WHITE = (255, 255, 255)
_FILTER = Image.BICUBIC
_REDUCING_GAP = 3.0  # from here on Pillow's result equals the slow one to the eye
_EXIF_ORIENTATION = 0x0112

# The transposition that brings a picture of each EXIF orientation upright.
_UPRIGHT = {
    2: Image.FLIP_LEFT_RIGHT,
    3: Image.ROTATE_180,
    4: Image.FLIP_TOP_BOTTOM,
    5: Image.TRANSPOSE,
    6: Image.ROTATE_270,
    7: Image.TRANSVERSE,
    8: Image.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)

# The decoders are called directly and never through Image.open: no other
# decoder ever sees the file, in any version of Pillow, and Image.open's warning
# about huge images, which only process-wide filters could catch, is not needed.
_DECODERS = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}

_SPECIAL_FILES = (
    (stat.S_ISDIR, "it is a folder, not a file"),
    (stat.S_ISFIFO, "it is a named pipe, not a regular file"),
    (stat.S_ISSOCK, "it is a socket, not a regular file"),
    (stat.S_ISCHR, "it is a device, not a regular file"),
    (stat.S_ISBLK, "it is a device, not a regular file"),
)


def read_image(image, input_size, resize="pad"):
    """Read one image as RGB pixels of a given size.

    The format of a file is decided by its content; JPEG, PNG, BMP, GIF and WebP
    are read. EXIF orientation is obeyed, transparent pixels land on white, the
    first frame of an animation is taken and 16-bit grey is scaled to 8 bit.

    Parameters
    ----------
    image : str, pathlib.Path, PIL.Image.Image or uint8 ndarray
        A file, an opened image, or an array of shape (h, w), (h, w, 1),
        (h, w, 3) or (h, w, 4), the last with transparency.
    input_size : int or (int, int)
        Side of a square, or height and width, in pixels.
    resize : {"pad", "stretch"}
        "pad" shrinks or enlarges the picture until it just fits and centres it on
        white; "stretch" ignores the ratio of its sides.

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
    return centred_on_white(read_picture(image, input_size, resize), input_size)


def read_picture(image, input_size, resize="pad"):
    """Read one image as `read_image` does, without borders.

    Parameters
    ----------
    image, input_size, resize
        As for `read_image`.

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
    if resize not in RESIZE_RULES:
        raise ValueError("resize must be 'pad' or 'stretch', not {!r}".format(resize))
    if is_path(image):
        name = str(image)
        with open_image(name) as opened, _as_image_error(name, _decoding_reason):
            return _upright_rgb(opened, (width, height), resize, draft=True)
    if isinstance(image, Image.Image):
        name = _describe(image)
        _check_size(image, name)
        with _as_image_error(name, _decoding_reason):
            return _upright_rgb(image, (width, height), resize, draft=False)
    if isinstance(image, np.ndarray):
        name = "array of shape {} and type {}".format(image.shape, image.dtype)
        with _as_image_error(name, _decoding_reason):
            return _upright_rgb(_from_array(image, name), (width, height), resize, draft=False)
    raise TypeError("an image must be a path, a PIL image or a uint8 array, not {}".format(
        type(image).__name__))


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
        pixels than ``PIL.Image.MAX_IMAGE_PIXELS``, or a JPEG made to take long.
    """
    with _as_image_error(path, _opening_reason):
        stream = _open_regular(path)
    try:
        with _as_image_error(path, _opening_reason):
            start = stream.read(32)
            stream.seek(0)
        format_name = _format_of(start)
        if format_name is None:
            raise ImageError(path, _why_unknown(start))
        if format_name == "WebP" and not features.check("webp"):
            raise ImageError(path, "this installation of Pillow cannot read WebP images")
        with _as_image_error(path, _opening_reason):
            image = _DECODERS[format_name](
                JpegFile(stream, path) if format_name == "JPEG" else stream)
        _check_size(image, path)
        yield image
    finally:
        stream.close()


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


def check_images(X):
    """A sequence of images, as opposed to one image or one path.

    A table of one column counts as that column, so that what selects columns
    of a frame can hand on the paths.
    """
    if hasattr(X, "tocsr"):
        raise TypeError("images cannot be sparse; give paths, PIL images or uint8 arrays")
    if isinstance(X, (str, bytes)) or not hasattr(X, "__len__"):
        raise TypeError("expected a sequence of images, not {!r}".format(
            X if isinstance(X, str) else type(X).__name__))
    if hasattr(X, "columns"):
        if len(X.columns) != 1:
            raise TypeError("expected a sequence of images, not a {} of several columns: give the "
                            "column of paths, or ImageSet.from_frame(frame)".format(
                                type(X).__name__))
        X = X[X.columns[0]]
    if not isinstance(X, np.ndarray):
        return list(X)
    if X.dtype.kind in "OU":
        return X.ravel().tolist() if X.ndim == 2 and X.shape[1] == 1 else X.tolist()
    if X.dtype != np.uint8:
        raise TypeError("an array of images must be of type uint8 with values from 0 to 255, not "
                        "{}".format(X.dtype))
    return X


# Opening

def _open_regular(path):
    """Open a regular file for reading; a pipe or device is refused without blocking."""
    _refuse_special(path, os.stat(path).st_mode)
    # Another file may have taken the name since: hence not blocking, and looking again.
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags)
    try:
        _refuse_special(path, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _refuse_special(path, mode):
    if stat.S_ISREG(mode):
        return
    for is_kind, reason in _SPECIAL_FILES:
        if is_kind(mode):
            raise ImageError(path, reason)
    raise ImageError(path, "it is not a regular file")


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
    """Refuse what Pillow would only warn of: more pixels than its limit."""
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(name, "it has no pixels")
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise ImageError(name, "it claims {} x {} pixels, more than the {:.0f} million allowed "
                         "(PIL.Image.MAX_IMAGE_PIXELS)".format(width, height, limit / 1e6))


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


# Decoding

def _from_array(array, name):
    """Wrap a uint8 array as a PIL image."""
    if array.dtype != np.uint8:
        raise ImageError(name, "pixels must be of type uint8, 0 to 255")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise ImageError(name, "the shape must be (h, w), (h, w, 1), (h, w, 3) or (h, w, 4)")
    if array.size == 0:
        raise ImageError(name, "it has no pixels")
    return Image.fromarray(array)


def _upright_rgb(image, box_size, resize, draft):
    """Decode, put on white, resize and turn upright.

    `box_size` is (width, height) as seen upright. With `draft` a JPEG decoder may
    shrink while it decodes, which changes `image`.
    """
    box = None
    if draft and image.format == "JPEG":
        size = _target_size(image, _orientation(image), box_size, resize)
        drafted = image.draft(None, size)
        box = drafted and drafted[1]
        image.load()
        orientation = _orientation(image)
    else:
        image.load()  # some formats keep their orientation behind the pixels
        orientation = _orientation(image)
        size = _target_size(image, orientation, box_size, resize)
    picture = _to_rgb(image)
    if picture.size != size:
        picture = picture.resize(size, _FILTER, box=box, reducing_gap=_REDUCING_GAP)
    if orientation in _UPRIGHT:
        picture = picture.transpose(_UPRIGHT[orientation])
    return picture


def _orientation(image):
    """EXIF orientation of an image, 1 (upright) where there is none that makes sense."""
    if "exif" not in image.info and "Raw profile type exif" not in image.info:
        return 1
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # damaged EXIF data: the picture itself may be fine
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _target_size(image, orientation, box_size, resize):
    """(width, height) to give the image before it is turned upright."""
    box_width, box_height = box_size
    if orientation in _SIDEWAYS:
        box_width, box_height = box_height, box_width
    if resize == "stretch":
        return box_width, box_height
    width, height = image.size
    scale = min(box_width / width, box_height / height)
    return (min(box_width, max(1, int(round(width * scale)))),
            min(box_height, max(1, int(round(height * scale)))))


def _to_rgb(image):
    """Convert any colour mode to RGB, transparency composited on white."""
    mode = image.mode
    if mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if mode == "1" or mode.startswith("I"):
        return _deep_grey_to_rgb(image)
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or (
            mode in ("L", "RGB", "P") and "transparency" in image.info):
        return _on_white(image)
    return image if mode == "RGB" else image.convert("RGB")


def _deep_grey_to_rgb(image):
    """Convert 1-bit and 16-bit grey (modes 1, I and I;16), one grey being transparent or none."""
    values = np.asarray(image)
    if image.mode == "1":
        grey = np.where(values, 255, 0).astype(np.uint8)
    else:
        clipped = np.clip(values, 0, 65535).astype(np.uint32)
        grey = ((clipped + 128) // 257).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == (bool(transparent) if image.mode == "1" else transparent)] = 255
    return Image.fromarray(grey).convert("RGB")


def _on_white(image):
    if image.mode == "La":
        image = image.convert("LA")
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    if rgba.getchannel("A").getextrema()[0] == 255:
        return rgba.convert("RGB")
    background = Image.new("RGB", rgba.size, _WHITE)
    background.paste(rgba, (0, 0), rgba)
    return background
