"""From what Pillow decodes to RGB pixels: turned upright, on white, of the size that is wanted."""
import collections
import struct

import numpy as np
from PIL import Image

from ..errors import ImageError
from .sequences import problem_of_pixels

#: Bytes that decoding one picture may take, for each pixel of Image.MAX_IMAGE_PIXELS.
BYTES_A_PIXEL = 12

#: How a photograph gets its size: one of `RESIZE_RULES`, a filter, and for "crop" the part of the
#: shorter side that stays.
Resize = collections.namedtuple("Resize", ["rule", "filter", "crop"])

RESIZE_RULES = ("pad", "stretch", "crop")

DEFAULT_FILTER = "bicubic"

_WHITE = (255, 255, 255)
_FILTERS = {"nearest": Image.NEAREST, "box": Image.BOX, "bilinear": Image.BILINEAR,
            "hamming": Image.HAMMING, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}
_REDUCING_GAP = 3.0  # from here on Pillow's result equals the slow one to the eye
_BAND = 1 << 21  # pixels that are converted at a time, so that large pictures need little memory

# Bits that cameras and scanners use of the 16 in a file.
_DEPTHS = (8, 10, 12, 14, 16)

_EXIF_ORIENTATION = 0x0112
_MOST_TAGS = 1000  # of Exif data, that are looked through
_MOST_PROFILE = 1 << 17  # letters of Exif data as text, that are looked at

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


def from_array(array, name):
    """Wrap a uint8 array as a PIL image.

    Raises
    ------
    ImageError
        The array is not one picture.
    """
    problem = problem_of_pixels(array)
    if problem:
        raise ImageError(name, problem)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.size == 0:
        raise ImageError(name, "it has no pixels")
    return Image.fromarray(array)


def as_resize(resize):
    """A rule by name, or all of a Resize, as a Resize.

    Raises
    ------
    ValueError
        There is no such rule or filter.
    """
    if not isinstance(resize, Resize):
        resize = Resize(resize, DEFAULT_FILTER, 1.0)
    if not (isinstance(resize.rule, str) and resize.rule in RESIZE_RULES
            and resize.filter in _FILTERS and 0 < resize.crop <= 1):
        raise ValueError("resize must be 'pad', 'stretch' or 'crop', not {!r}".format(resize.rule))
    return resize


def upright_rgb(image, box_size, resize, draft=False):
    """Decode, put on white, resize and turn upright.

    Parameters
    ----------
    image : PIL.Image.Image
        Obeys its EXIF orientation where it is as its file has it: what Pillow makes of an opened
        image has no format any more, and somebody may have turned it already.
    box_size : (int, int)
        Width and height as seen upright.
    resize : Resize
    draft : bool
        A JPEG decoder may shrink while it decodes, which changes `image`.

    Returns
    -------
    PIL.Image.Image
        In RGB.

    Raises
    ------
    Exception
        Nearly any, where the picture is damaged.
    """
    box = None
    is_deep = any("16" in str(tile[-1]) for tile in getattr(image, "tile", ()))
    if draft and image.format == "JPEG":
        size = _target_size(image, _orientation(image), box_size, resize)
        drafted = image.draft(None, size)
        box = drafted and drafted[1]
        check_pixels(image)
        image.load()
        orientation = _orientation(image)
    else:
        image.load()  # some formats keep their orientation behind the pixels
        orientation = _orientation(image)
        size = _target_size(image, orientation, box_size, resize)
    picture = _opaque(image, is_deep)
    if picture.size != size:
        picture = picture.resize(size, _FILTERS[resize.filter], box=box, reducing_gap=_REDUCING_GAP)
    if orientation in _UPRIGHT:
        picture = picture.transpose(_UPRIGHT[orientation])
    if resize.rule == "crop":
        picture = _middle(picture, box_size)
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def check_pixels(image, name=None, least=1.0):
    """Refuse what Pillow would only warn of: more pixels than its limit.

    Parameters
    ----------
    image : PIL.Image.Image
    name : str, optional
        For messages.
    least : float
        Share of the limit that counts, where a format takes more memory than others.

    Raises
    ------
    ImageError
    """
    width, height = image.size
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit * least:
        raise ImageError(name or getattr(image, "filename", "") or "picture", too_large(
            width, height, limit * least))


def too_large(width, height, limit):
    """The reason why a picture is refused, and what to do, str."""
    return ("it claims {} x {} pixels, more than the {:.0f} million allowed; raise "
            "PIL.Image.MAX_IMAGE_PIXELS (--max-pixels of gear-transfer) if you trust it".format(
                width, height, limit / 1e6))


# Orientation

def _orientation(image):
    """EXIF orientation of an image as its file has it, 1 (upright) where none makes sense."""
    if image.format is None:
        return 1
    exif = image.info.get("exif")
    if exif is None:
        exif = _from_profile(image.info.get("Raw profile type exif"))
    value = _find_orientation(exif) if isinstance(exif, bytes) else 1
    return value if value in _UPRIGHT else 1


def _from_profile(text):
    """The beginning of Exif data that a PNG has as text: a name, a length, and digits."""
    if not isinstance(text, str):
        return None
    digits = "".join(text[:_MOST_PROFILE].split("\n")[3:])
    try:
        return bytes.fromhex(digits[:len(digits) // 2 * 2])
    except ValueError:
        return None


def _find_orientation(exif):
    """The value of the tag in Exif data, 1 where there is none.

    Pillow reads all tags, for which damaged or hostile data make it take memory and warn hundreds
    of times.
    """
    if exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    try:
        start, = struct.unpack_from(order + "I", exif, 4)
        count, = struct.unpack_from(order + "H", exif, start)
        for place in range(start + 2, start + 2 + 12 * min(count, _MOST_TAGS), 12):
            tag, kind = struct.unpack_from(order + "HH", exif, place)
            if tag == _EXIF_ORIENTATION:
                return struct.unpack_from(order + {1: "B", 3: "H", 4: "I"}[kind], exif, place + 8)[0]
    except (struct.error, TypeError, KeyError):
        pass  # damaged Exif data: the picture itself may be fine
    return 1


def _middle(picture, size):
    """The part of that width and height in the middle."""
    left, top = [int(round((whole - part) / 2.0)) for whole, part in zip(picture.size, size)]
    return picture.crop((left, top, left + size[0], top + size[1]))


def _target_size(image, orientation, box_size, resize):
    """(width, height) to give the image before it is turned upright and cut."""
    box_width, box_height = box_size
    if orientation in _SIDEWAYS:
        box_width, box_height = box_height, box_width
    if resize.rule == "stretch":
        return box_width, box_height
    width, height = image.size
    if resize.rule == "crop":
        box_width, box_height = int(box_width / resize.crop), int(box_height / resize.crop)
        scale = max(box_width / width, box_height / height)
        return max(box_width, int(width * scale)), max(box_height, int(height * scale))
    scale = min(box_width / width, box_height / height)
    return (min(box_width, max(1, int(round(width * scale)))),
            min(box_height, max(1, int(round(height * scale)))))


# Colours

def _opaque(image, is_deep=False):
    """Convert any colour mode to grey or RGB of 8 bits, transparency composited on white."""
    mode = image.mode
    if mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if mode == "1":
        grey = image.convert("L")
        return grey.point([255] * 256) if image.info.get("transparency") == 0 else grey
    if mode.startswith("I"):
        return _deep_grey(image)
    if is_deep:
        image = _deep_colours(image)
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or (
            mode in ("L", "RGB", "P") and "transparency" in image.info):
        return _on_white(image)
    return image if mode in ("L", "RGB") else image.convert("RGB")


def _by_bands(image, mode, function):
    """A picture that `function` makes of an image, band by band.

    Parameters
    ----------
    image : PIL.Image.Image
    mode : str
        Of the result.
    function : callable
        From a band of the image to one of the result.

    Returns
    -------
    PIL.Image.Image
    """
    if image.size[0] * image.size[1] <= _BAND:
        return function(image)
    result = Image.new(mode, image.size)
    for top, band in _bands(image):
        result.paste(function(band), (0, top))
    return result


def _bands(image):
    """The rows of an image, some at a time, with the number of the first."""
    width, height = image.size
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height)))
        band.info = image.info
        yield top, band


def _deep_grey(image):
    """Convert grey of more than 8 bits (modes I and I;16), one value being transparent or none.

    Values of 10, 12 or 14 bits come in files of 16 as they are: taken for 16 they would be black.
    """
    largest = _full_scale(max(int(np.asarray(band).max()) for _, band in _bands(image)))
    transparent = image.info.get("transparency")

    def convert(band):
        values = np.asarray(band)
        clipped = np.clip(values, 0, largest).astype(np.uint32)
        grey = ((clipped * 255 + largest // 2) // largest).astype(np.uint8)
        if isinstance(transparent, int):
            grey[values == transparent] = 255
        return Image.fromarray(grey)

    return _by_bands(image, "L", convert)


def _full_scale(highest):
    """The value that stands for white, given the highest that occurs."""
    return next(((1 << depth) - 1 for depth in _DEPTHS if highest < 1 << depth), (1 << 16) - 1)


def _deep_colours(image):
    """Brighten colours of which Pillow kept the upper 8 bits of 16, where the file used fewer."""
    extrema = image.getextrema()
    extrema = extrema if isinstance(extrema[0], tuple) else (extrema,)
    highest = max(high for _, high in extrema)
    white = _full_scale(highest << 8) >> 8
    if not 0 < highest <= white < 255:
        return image
    table = [min(255, (value * 255 + white // 2) // white) for value in range(256)]
    brighter = image.point(table * len(image.getbands()))
    brighter.info = image.info
    return brighter


def _on_white(image):
    """Composite transparency on white; where it hides a whole picture, it is left out."""
    lowest, highest = _alpha_range(image)
    is_ignored = highest == 0 and _has_contrast(image)

    def composite(band):
        rgba = (band.convert("LA") if band.mode == "La" else band).convert("RGBA")
        if lowest == 255 or is_ignored:
            return rgba.convert("RGB")
        background = Image.new("RGB", rgba.size, _WHITE)
        background.paste(rgba, (0, 0), rgba)
        return background

    return _by_bands(image, "RGB", composite)


def _alpha_range(image):
    """The least and the most that pixels cover, 0 to 255; (0, 255) where it is not known."""
    if "A" in image.getbands():
        return image.getchannel("A").getextrema()
    transparency = image.info.get("transparency")
    if image.mode == "P" and isinstance(transparency, bytes):
        alpha = (transparency + b"\xff" * 256)[:256]
        used = [alpha[entry] for entry, count in enumerate(image.histogram()[:256]) if count]
        return min(used), max(used)
    return 0, 255


def _has_contrast(image):
    """Whether the colours differ anywhere, transparent or not."""
    if image.mode == "P":
        return np.count_nonzero(image.histogram()[:256]) > 1
    return any(low < high for low, high in image.getextrema()[:-1])
