"""Photographs and drawings in the form in which a page holds them."""
import base64
import io
import re

import numpy as np

from ..errors import ImageError
from ..photographs.images import read_image

THUMBNAIL = 144  # pixels: sharp at 112 on most screens, 4 kB or so
_QUALITY = 78

# matplotlib's colours for ink, grid and paper, as the plots have them, and what stands for them in
# a page that is light or dark.
_THEME = (("#222222", "currentColor"), ("#000000", "currentColor"), ("#cccccc", "currentColor"),
          ("#dddddd", "var(--line)"), ("#767676", "var(--faint)"), ("#ffffff", "var(--paper)"),
          ("#0072b2", "rgb(var(--blue))"), ("#d55e00", "rgb(var(--orange))"))


def thumbnail(image, size=THUMBNAIL):
    """A small JPEG of an image as a data URI.

    Parameters
    ----------
    image : str, Path, PIL image or uint8 ndarray
    size : int
        Side in pixels.

    Returns
    -------
    str or None
        None where the image cannot be read.
    """
    from PIL import Image
    try:
        pixels = read_image(image, size)
    except ImageError:
        return None
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "JPEG", quality=_QUALITY,
                                                       optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def drawing(draw, inches, label):
    """An SVG element drawn by matplotlib, in the colours of the page around it.

    Parameters
    ----------
    draw : callable
        Takes the axes to draw on.
    inches : tuple of float
        Width and height.
    label : str
        What is to be seen, for those who do not see it; escaped already.

    Returns
    -------
    str
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "gear_transfer"}):
        figure = Figure(figsize=inches)
        FigureCanvasAgg(figure)  # measures text for tight_layout, which SVG cannot
        figure.patch.set_visible(False)
        ax = figure.add_subplot(1, 1, 1)
        ax.patch.set_visible(False)
        draw(ax)
        figure.tight_layout()
        stream = io.BytesIO()
        FigureCanvasSVG(figure).print_svg(stream)
    return _themed(stream.getvalue().decode("utf-8"), label)


def _themed(svg, label):
    """The svg element of a file, with the colours and the font of the page."""
    start = svg.index("<svg")
    end = svg.index(">", start)
    view = re.search(r'viewBox="[^"]*"', svg[start:end]).group(0)
    body = svg[end + 1:].rstrip()
    body = re.sub(r"<(metadata|style)\b.*?</\1>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r"font-family: ?[^;\"]*;?", "", body)
    body = re.sub(r"font: ([0-9.]+)px [^;\"]*", r"font-size: \1px", body)
    body = re.sub(r">\s+<", "><", body)
    for colour, ours in _THEME:
        body = re.sub(colour, ours, body, flags=re.IGNORECASE)
    # What has no colour of its own is black in SVG.
    return ('<svg role="img" aria-label="{}" {} xmlns="http://www.w3.org/2000/svg" '
            'xmlns:xlink="http://www.w3.org/1999/xlink" fill="currentColor">{}'.format(
                label, view, body))
