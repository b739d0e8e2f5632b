"""The whole page: its frame, its sections, and the file it is written to."""
import os
import string
import time

from .. import __version__
from ..classifiers.model_file import load_model
from ..common.arguments import check_ending
from ..common.atomic import file_to_write, write_whole
from ..common.markup import escape_html
from ..common.tables import counted
from .evidence import Evidence
from .sections import SECTIONS, facts

_DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data")

#: The accuracy that a report says is met or not, unless another is asked for.
TARGET = 0.9


def report(model, folder, path, title=None, target=TARGET):
    """Write one HTML page about a classifier and a folder of photographs.

    It has the data with their near-duplicates, how they were split, the curves of
    training, accuracy with an interval, each class, the confusion matrix, the
    photographs with the greatest loss, labels that may be wrong, and a grid of
    predictions. The page is one file: it loads nothing, runs nothing,
    follows the reader's light or dark setting and can be read on a phone.

    Accuracy is measured on photographs that the classifier was not trained on,
    where the folder is split into train and val or test; otherwise by
    cross-validation, which trains heads of the same settings on the features.

    Parameters
    ----------
    model : TransferClassifier, str or Path
        Fitted, or the path of a saved one.
    folder : str, Path or ImageSet
        As `load_folder` takes it; classes that the model knows.
    path : str or Path
        The page to write; it appears whole or not at all.
    title : str, optional
        Default is made of the folder's name.
    target : float
        An accuracy, to say whether it is met.

    Returns
    -------
    str
        `path`.

    Raises
    ------
    DatasetError
        If the folder cannot be used or has a class that the model does not know.
    ModelFileError
        If `model` is a path and no saved classifier is there.
    ValueError
        If `target` is no accuracy, or the name promises another kind of file.
    OSError
        If the page cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> import gear_transfer as gt
    >>> place = tempfile.mkdtemp()
    >>> images = gt.load_folder(gt.make_shapes(place + "/shapes", per_class=20))
    >>> model = gt.TransferClassifier(input_size=96).fit(images)
    >>> page = gt.report(model, images, os.path.join(place, "report.html"))
    >>> os.path.getsize(page) > 10000
    True
    """
    check_page(path)
    file_to_write(path)  # an error at once, not after the work
    model = model if hasattr(model, "predict") else load_model(model)
    write_page(Evidence(model, folder, target), path, title)
    return str(path)


def check_page(path):
    """Refuse a page under a name that promises another kind of file; ValueError."""
    check_ending(str(path), "a page of HTML", "*.html")


def write_page(evidence, path, title=None):
    """Write the page about an `Evidence`, as `report` does."""
    title = title or "Report on {}".format(os.path.basename(os.path.abspath(evidence.root)))
    text = _page(evidence, title)
    write_whole(path, lambda stream: stream.write(text.encode("utf-8")))


def _page(evidence, title):
    """The page's text."""
    contents, sections = [], [facts(evidence)]
    for heading, section in SECTIONS:
        html = section(evidence)
        if html:
            name = heading.lower().replace(" ", "-")
            contents.append("<li><a href=\"#{}\">{}</a></li>".format(name, heading))
            sections.append("<section aria-labelledby=\"{0}\"><h2 id=\"{0}\">{1}</h2>{2}"
                            "</section>".format(name, heading, html))
    return string.Template(_read("report.html")).substitute(
        title=escape_html(title), subtitle=escape_html(_subtitle(evidence)),
        style=_read("report.css"), contents="".join(contents), sections="\n".join(sections),
        version=__version__)


def _subtitle(evidence):
    return "{}, {}. Written on {}.".format(
        counted(len(evidence.images), "photograph"),
        counted(len(evidence.images.classes), "class", "classes"), time.strftime("%Y-%m-%d"))


def _read(name):
    with open(os.path.join(_DATA, name), encoding="utf-8") as stream:
        return stream.read()
