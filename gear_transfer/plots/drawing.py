"""What all plots share: colours, figures of tiles, one picture or text on an axes."""
import math
import textwrap

import numpy as np

from ..common.arguments import check_whole_number
from ..errors import ImageError
from ..photographs.images import read_image
from ..photographs.sequences import check_images, listed

# From the palette of Okabe and Ito, told apart with any kind of colour vision.
BLUE = "#0072B2"
VERMILION = "#D55E00"

RED = "#C00000"
INK = "#222222"
GREY = "#767676"
_MOST_AXES = 1000
_MOST_INCHES = 600.0
_TILE_PIXELS = 224
_TILE_GREY = 230
_TILE_INCHES = 2.0
_GAP_INCHES = 0.12
_LINE_INCHES = 0.19


def default_resize():
    """How a classifier with the default settings makes photographs square."""
    from ..features.settings import shown_resize

    return shown_resize()


def default_input_size():
    """The size to which a classifier with the default settings brings photographs."""
    from ..features.settings import DEFAULT_QUALITY, QUALITIES

    return QUALITIES[DEFAULT_QUALITY].input_size


def check_lengths(images, *named):
    """Check that what belongs to images is as long as they are.

    Parameters
    ----------
    images : sequence
    named : tuples (name, values)
        Values may be None.

    Raises
    ------
    ValueError
        Naming the first that differs.
    """
    for name, values in named:
        if values is not None and len(values) != len(images):
            raise ValueError("{} images but {} {}".format(len(images), len(values), name))


def new_figure(rows, columns, inches):
    """A pyplot figure of (width, height) inches and its axes, a 2-D array.

    Raises
    ------
    ValueError
        If it would take the memory of the machine, or be larger than matplotlib can write.
    """
    import matplotlib.pyplot as plt

    if rows * columns > _MOST_AXES or max(inches) > _MOST_INCHES:
        raise ValueError("a figure of {:,} x {:,} plots, {:.0f} x {:.0f} inches, is too large: show "
                         "fewer than {:,} at a time".format(rows, columns, inches[0], inches[1],
                                                            _MOST_AXES))
    return plt.subplots(rows, columns, figsize=inches, squeeze=False)


def tiles(cells, columns, title_lines, axes):
    """Axes for square tiles: the first of those given, or the cells of a grid on a new figure."""
    if not cells:
        raise ValueError("there are no images to show")
    if axes is not None:
        axes = np.ravel(axes)
        if len(axes) < len(cells):
            raise ValueError("{} images but only {} axes".format(len(cells), len(axes)))
        return axes[:len(cells)]
    check_whole_number("columns", columns)
    count = max(cells) + 1
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    # Laid out in inches by hand: titles of several lines defeat the automatic layouts.
    title = _LINE_INCHES * title_lines + _GAP_INCHES
    width = columns * _TILE_INCHES + (columns + 1) * _GAP_INCHES
    height = rows * (_TILE_INCHES + title) + _GAP_INCHES
    figure, grid = new_figure(rows, columns, (width, height))
    figure.subplots_adjust(
        left=_GAP_INCHES / width, right=1 - _GAP_INCHES / width, wspace=_GAP_INCHES / _TILE_INCHES,
        bottom=_GAP_INCHES / height, top=1 - title / height, hspace=title / _TILE_INCHES)
    grid = grid.ravel()
    for cell in set(range(len(grid))) - set(cells):
        grid[cell].remove()
    return grid[list(cells)]


def open_frame(ax):
    """The look of a plot of curves: a light grid behind them, no frame above and to the right."""
    ax.grid(True, color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def as_images(images):
    """A sequence of images, the paths of an ImageSet."""
    if isinstance(images, str):
        raise TypeError("images must be a sequence of images, not the one path {!r}".format(images))
    return check_images(listed(images))


def show_image(ax, image):
    """Show an image on white, or a grey tile that says why it cannot be read."""
    try:
        pixels = read_image(image, _TILE_PIXELS, "pad")
    except ImageError as error:
        pixels = np.full((_TILE_PIXELS, _TILE_PIXELS, 3), _TILE_GREY, dtype=np.uint8)
        reason = textwrap.fill("cannot be read: " + error.reason, 22)
        plain(ax.text(0.5, 0.5, reason, transform=ax.transAxes, ha="center", va="center",
                       fontsize=9, color=INK))
    show_pixels(ax, pixels)


def show_text(axes, text):
    """One axes, of those given or a new figure, with a text in place of pictures."""
    tile = tiles([0], 1, 1, axes)
    tile[0].set_axis_off()
    tile[0].text(0.5, 0.5, text, ha="center", va="center", transform=tile[0].transAxes,
                 fontsize=11, color=INK)
    return tile


def show_pixels(ax, pixels):
    """Show a uint8 array of shape (h, w, 3) in a thin frame."""
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_edgecolor("#CCCCCC")
    ax.imshow(pixels)


def set_title(ax, lines, colour=INK, size=None):
    """Title an axes, by custom in letters small enough for the longest line to fit a tile."""
    if size is None:
        size = min(11, max(6, 260 // max(1, max(len(line) for line in lines))))
    plain(ax.set_title("\n".join(lines), fontsize=size, color=colour, pad=5))


def plain(text):
    """Keep a dollar sign in a text from being taken for mathematics."""
    if hasattr(text, "set_parse_math"):  # matplotlib 3.6
        text.set_parse_math(False)
    else:
        text.set_text(escape_dollars(text.get_text()))


def escape_dollars(name):
    """The name such that old releases of matplotlib print its dollar signs."""
    return name.replace("$", r"\$") if name.count("$") > 1 else name
