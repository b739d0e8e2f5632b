"""Folders of images: which files belong to which class, and which are left out."""
import collections
import collections.abc
import os
import re
import unicodedata

import numpy as np

from ..common.arguments import check_list, check_path, check_whole_number, is_missing, is_path
from ..common.caller import warn_caller
from ..common.progress import progress_bar
from ..common.labels import KINDS, as_labels
from ..common.markup import escape_html
from ..errors import DatasetError, DatasetWarning
from .folder_search import NO_IMAGES, FolderSearch, role_of, same_below

SkippedFile = collections.namedtuple("SkippedFile", ["path", "reason"])
SkippedFile.__doc__ = "A file or folder that was left out, and why (both str)."

_ROWS_SHOWN = 20


class ImageSet:
    """Labelled images: paths, class names, and what was left out.

    Parameters
    ----------
    paths : sequence of str
        One file an image.
    labels : sequence, as long as `paths`
        The class of each: text, whole numbers, truth values or numbers, whose type is kept;
        anything else becomes text.
    skipped : sequence of SkippedFile, optional
        Files that were found and left out.
    validation, test : ImageSet, optional
        Sets that were kept apart from this one, which is for training.

    Attributes
    ----------
    paths : list of str
    labels : ndarray, shape (n,)
    classes : list
        The different labels, sorted.
    skipped : list of SkippedFile
    validation, test : ImageSet or None
    """

    def __init__(self, paths, labels, skipped=(), validation=None, test=None):
        self.paths = [str(path) for path in check_list("paths", paths)]
        labels = as_labels(labels if hasattr(labels, "dtype") else check_list("labels", labels))
        if labels.dtype.kind not in KINDS or not len(labels):
            labels = np.array([str(label) for label in labels.tolist()], dtype=str)
        self.labels = labels
        if len(self.paths) != len(self.labels):
            raise DatasetError("{} paths but {} labels".format(len(self.paths), len(self.labels)))
        self.classes = sorted(set(self.labels.tolist()))
        self.skipped = [SkippedFile(*entry) for entry in skipped]
        self.validation = validation
        self.test = test

    @classmethod
    def from_frame(cls, frame, path="path", label="label", folder=None):
        """Labelled images from a table, such as a pandas or polars frame.

        Parameters
        ----------
        frame : DataFrame or mapping of column to sequence
        path : hashable
            Name of the column that holds the paths, str or Path.
        label : hashable
            Name of the column that holds the labels; they keep their type.
        folder : str or Path, optional
            What relative paths start from; default is the working directory.

        Returns
        -------
        ImageSet

        Raises
        ------
        DatasetError
            A column or a value is missing, or a path is none.

        Examples
        --------
        >>> from gear_transfer import ImageSet
        >>> table = {"path": ["axe1.jpg", "tent1.jpg"], "label": ["axe", "tent"]}
        >>> ImageSet.from_frame(table, folder="gear").paths
        ['gear/axe1.jpg', 'gear/tent1.jpg']
        """
        paths, labels = list(_column(frame, path)), _column(frame, label)
        for row, value in enumerate(paths):
            if not is_path(value) or not str(value):
                raise DatasetError("column {!r} must hold paths; in row {} it holds {!r}".format(
                    path, row, value))
        for row, value in enumerate(labels):
            if is_missing(value):
                raise DatasetError("column {!r} has no label in row {} ({})".format(
                    label, row, paths[row]))
        return cls([os.path.join(str(folder or ""), str(name)) for name in paths],
                   np.asarray(labels) if hasattr(labels, "dtype") else list(labels))

    @classmethod
    def from_names(cls, images, pattern):
        """Labelled images whose file names say their class.

        Parameters
        ----------
        images : sequence of str or Path; or ImageList
            The files, such as `load_images` finds.
        pattern : str
            A regular expression that is searched for in each file's name, without its folder;
            what the one group in it matches is the label.

        Returns
        -------
        ImageSet
            Files with another name are in ``skipped``, beside those of an ImageList.

        Raises
        ------
        ValueError, TypeError
            The pattern is no regular expression with one group, or an image no path.
        DatasetError
            It fits none of the names.

        Examples
        --------
        >>> from gear_transfer import ImageSet
        >>> images = ImageSet.from_names(["ice_axe_12.jpg", "tent_3.jpg"], r"(.+)_\\d+\\.jpg$")
        >>> images.classes
        ['ice_axe', 'tent']
        """
        expression = _expression_with_one_group(pattern)
        paths, labels, skipped = [], [], list(getattr(images, "skipped", ()))
        for path in check_list("images", images):
            if not is_path(path):
                raise TypeError("images must be paths, not {!r}".format(path))
            found = expression.search(os.path.basename(str(path)))
            if found and found.group(1):
                paths.append(path)
                labels.append(normal_name(found.group(1)))
            else:
                skipped.append(SkippedFile(str(path), "its name does not fit the pattern"))
        if not paths:
            raise DatasetError("the pattern {!r} fits the name of no image{}".format(
                pattern, _first_reasons(skipped)))
        return cls(paths, labels, skipped)

    def __len__(self):
        return len(self.paths)

    def __repr__(self):
        parts = ["; {} {}".format(_count(len(images), "image"), purpose)
                 for images, purpose in ((self.validation, "to validate on"),
                                         (self.test, "to test on")) if images is not None]
        return "<ImageSet: {} of {}, {} skipped{}>".format(
            _count(len(self), "image"), _count(len(self.classes), "class", "classes"),
            len(self.skipped), "".join(parts))

    def counts(self):
        """Number of images of each class, as an OrderedDict in the order of `classes`."""
        counted = collections.Counter(self.labels.tolist())
        return collections.OrderedDict((name, counted[name]) for name in self.classes)

    def subset(self, indices):
        """A new ImageSet of some of the images, nothing skipped or kept apart in it.

        Parameters
        ----------
        indices : sequence of int, slice, or bool mask of shape (n,)
            Which images, in the order wanted.
        """
        if not isinstance(indices, slice):
            indices = np.asarray(indices)
            if indices.size == 0:
                indices = indices.astype(int)
        chosen = np.arange(len(self))[indices]
        return ImageSet([self.paths[i] for i in chosen], self.labels[chosen])

    def _repr_html_(self):
        parts = [(title, images) for title, images in (
            ("images", self), ("validation", self.validation), ("test", self.test))
            if images is not None]
        counts = [images.counts() for _, images in parts]
        rows = [[name] + ["{:,}".format(counted.get(name, 0)) for counted in counts]
                for name in self.classes]
        table = "<table><thead>{}</thead><tbody>{}</tbody><tfoot>{}</tfoot></table>".format(
            _html_row(["class"] + [title for title, _ in parts], "th"),
            "".join(_html_row(row, "td") for row in rows),
            _html_row(["total"] + ["{:,}".format(len(images)) for _, images in parts], "th"))
        return table + _skipped_html(self.skipped)


class ImageList(collections.abc.Sequence):
    """Images without labels: a sequence of paths.

    Attributes
    ----------
    paths : list of str
    skipped : list of SkippedFile
    """

    def __init__(self, paths, skipped=()):
        self.paths = list(paths)
        self.skipped = list(skipped)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return self.paths[index]

    def __repr__(self):
        return "<ImageList: {}, {} skipped>".format(
            _count(len(self), "image"), len(self.skipped))


def load_folder(folder, strict=False, follow_links=False, least_classes=2, verbose=None):
    """Find the images of a folder that has one sub-folder for each class.

    Or of a folder that is split already: class folders in ``train`` and, beside
    it, in ``val`` and ``test``, each where it is there, under these or their other usual
    names: ``Training``, ``seg_train``, ``valid``, ``validation``, ``dev``, ``eval``, ``test_set``
    and so on. The training images are returned and have the others as
    ``validation`` and ``test``; the classes are those of training.

    Class folders are searched to any depth. Hidden files and folders (a leading
    dot), Thumbs.db, desktop.ini, __MACOSX and the like are ignored. Only the header of each file
    is looked at, so a picture that is cut short is found out when it is decoded.
    Links to files within the folder that holds the class folders are followed,
    other symbolic links are not unless that is asked for.

    Parameters
    ----------
    folder : str or pathlib.Path
        The folder with the class folders.
    strict : bool
        Raise at the first thing that would be skipped.
    follow_links : bool
        Follow symbolic links out of the folder too, such as DVC and git-annex make to a shared
        store.
    least_classes : int
        Classes that are needed; 1 is enough to predict and to measure.
    verbose : bool or int, optional
        Count the files while they are looked at. Default: on a terminal and in a notebook.

    Returns
    -------
    images : ImageSet
        Sorted by class, then by path. What was left out is in ``skipped``. Names of classes are
        brought to the normal form of Unicode, NFC.

    Raises
    ------
    DatasetError
        The folder is missing or is no folder, has no class folders, or has fewer
        than are needed with images; or a part of a split has a class that training lacks.
    ImageError
        With `strict`, for the first file that cannot be used.

    Warns
    -----
    DatasetWarning
        A class or a part of a split is lost, for nothing in its folder can be used; or the
        folder looks as if its parts were taken for classes.
    """
    folder = check_path("folder", folder)
    check_whole_number("least_classes", least_classes)
    with progress_bar(None, "Listing", "file", verbose) as bar:
        return _load(folder, (strict, follow_links, bar), least_classes)


def _load(folder, options, least_classes):
    search = FolderSearch(folder, *options)
    parts = _parts_of_split(search)
    if parts is None:
        return _load_classes(folder, options, least_classes)
    images = _load_classes(parts["train"], options, least_classes)
    for role, name in (("val", "validation"), ("test", "test")):
        if role in parts:
            setattr(images, name, _load_part(parts[role], parts["train"], images.classes, options,
                                             search))
    images.skipped += [SkippedFile(*entry) for entry in search.skipped]
    return images


def _parts_of_split(search):
    """Folders of "train", "val" and "test", as far as they are there; None for class folders."""
    folders, files = search.root_entries()
    by_role = collections.OrderedDict()
    for path in folders:
        by_role.setdefault(role_of(os.path.basename(path)), []).append(path)
    classes = by_role.pop(None, [])
    if "train" not in by_role:
        if by_role and not classes:
            raise DatasetError("{!r} has the folder {}, but no folder 'train' to learn from".format(
                search.folder, " and ".join(_quoted_names(sum(by_role.values(), [])))))
        return None
    if classes and (set(by_role) == {"train"} or not any(
            FolderSearch(path, False).root_entries()[0] for path in by_role["train"])):
        return None  # a class of its own, among other classes
    for role, paths in by_role.items():
        if len(paths) > 1:
            raise DatasetError("{!r} has the folders {}: only one may hold the {} images".format(
                search.folder, " and ".join(_quoted_names(paths[::-1])),
                {"train": "training", "val": "validation"}.get(role, role)))
    training = by_role["train"][0]
    for path in classes + files:
        search.skip(path, "it lies beside {}, which has the class folders".format(training))
    lost = [link for link in search.lost_links if role_of(os.path.basename(link))]
    if lost:
        _warn("left out beside {!r}: {}, for links are not followed without follow_links=True or "
              "--follow-links".format(training, ", ".join(_quoted_names(lost))))
    return dict((role, paths[0]) for role, paths in by_role.items())


def _load_part(folder, training, classes, options, search):
    """The validation or test images of a split; None where they have no labels."""
    part = FolderSearch(folder, *options)
    folders, files = part.root_entries()
    if not folders and any(part.is_image(path) for path in files):
        search.skip(folder, "its images have no class folders, so their classes are not known")
        _warn("{!r} is left out: its images have no class folders, so their classes are not known. "
              "load_images finds them, to predict their classes".format(folder))
        return None
    images = _load_classes(folder, options, 1)
    unknown = [name for name in images.classes if name not in classes]
    if unknown:
        raise DatasetError("{!r} has the class {!r}, which {!r} does not have; the classes there "
                           "are {}".format(folder, unknown[0], os.path.basename(training), ", ".join(
                               repr(name) for name in classes)))
    return images


def _load_classes(folder, options, least):
    """The images of a folder that has the class folders, of `least` classes or more."""
    search = FolderSearch(folder, *options)
    folders, files = search.root_entries()
    if not folders:
        _raise_no_classes(search, files)
    for path in files:
        search.skip(path, "it lies beside the class folders, not in one")
    paths, labels, lost = [], [], [(link, "it is a link") for link in search.lost_links]
    for class_folder in folders:
        found = search.images_below(class_folder)
        if not found:
            lost.append((class_folder, search.reason_below(class_folder)))
            search.skip(class_folder, NO_IMAGES)
        paths.extend(found)
        labels.extend([normal_name(os.path.basename(class_folder))] * len(found))
    images = ImageSet(paths, labels, search.skipped)
    if len(images) == 0:
        raise DatasetError("no readable images in {!r}{}".format(
            folder, _first_reasons(search.skipped)))
    if len(images.classes) < least:
        below = [path for path in folders if FolderSearch(path, False).root_entries()[0]]
        hint = " Did you mean {!r}?".format(below[0]) if len(folders) == len(below) == 1 else ""
        raise DatasetError(
            "only one class with images in {!r}: {!r}. Two or more class folders are needed{}.{}"
            .format(folder, images.classes[0], _first_reasons(search.skipped), hint))
    _warn_of_lost(folder, folders, lost)
    return images


def _warn_of_lost(folder, folders, lost):
    """Warn of classes without images, and of parts of a split that are taken for classes."""
    if lost:
        named = "; ".join("{!r} ({})".format(os.path.basename(path), reason)
                          for path, reason in lost[:_ROWS_SHOWN])
        _warn("{} of {!r} lost, for nothing in {} can be used: {}".format(
            _count(len(lost), "class", "classes"), folder,
            "its folder" if len(lost) == 1 else "their folders", named))
    below = same_below(folders)
    if below:
        are_parts = all(role_of(name) for name in below)
        _warn("in {!r} every folder ({}) has the same sub-folders ({}): {}".format(
            folder, ", ".join(_quoted_names(folders[:_ROWS_SHOWN])),
            ", ".join(repr(name) for name in below[:_ROWS_SHOWN]),
            "parts of a split within the classes are taken together; put the class folders into "
            "train and val" if are_parts else "if they are parts of a split and not classes, "
            "call them train and val or test"))


def _warn(message):
    warn_caller(message, DatasetWarning)


def _quoted_names(paths):
    return [repr(os.path.basename(path)) for path in paths]


def load_images(folder, strict=False, recursive=False, follow_links=False, verbose=None):
    """Find the images that lie directly in a folder, for prediction.

    Parameters
    ----------
    folder : str or pathlib.Path
    strict : bool
        Raise at the first file that would be skipped.
    recursive : bool
        Search the folders below it as well.
    follow_links : bool
        Follow symbolic links out of the folder too.
    verbose : bool or int, optional
        See `load_folder`.

    Returns
    -------
    images : ImageList
        A sequence of paths sorted by name, with ``paths`` and ``skipped``.

    Raises
    ------
    DatasetError
        The folder is missing, is no folder, or holds no readable image.
    ImageError
        With `strict`, for the first file that cannot be used.
    """
    folder = check_path("folder", folder)
    if recursive:
        skipped = []
        with progress_bar(None, "Listing", "file", verbose) as bar:
            paths = list(iterate_images(folder, skipped, strict, follow_links, bar))
        return ImageList(paths, skipped)
    with progress_bar(None, "Listing", "file", verbose) as bar:
        search = FolderSearch(folder, strict, follow_links, bar)
        folders, files = search.root_entries()
        paths = [path for path in files if search.is_image(path)]
    if not paths:
        hint = ("; it has sub-folders: did you mean one of them, recursive=True, or load_folder?"
                if folders else "")
        raise DatasetError("no readable images in {!r}{}{}".format(
            folder, hint, _first_reasons(search.skipped)))
    return ImageList(paths, [SkippedFile(*entry) for entry in search.skipped])


def iterate_images(folder, skipped, strict=False, follow_links=False, bar=None):
    """The images in a folder and below it, each as soon as it is found.

    Parameters
    ----------
    folder : str
    skipped : list
        Receives a SkippedFile for what is left out.
    strict, follow_links
        See `load_images`.
    bar : progress bar, optional
        Counts the files.

    Yields
    ------
    str
        Paths, in the order of `load_images`.

    Raises
    ------
    DatasetError, ImageError
        As `load_images` raises them; that there is no image after the last file.
    """
    FolderSearch(folder, strict, follow_links).root_entries()  # whether it can be listed
    search = FolderSearch(folder, strict, follow_links, bar)
    found = False
    for path in search.iterate_images_below(folder):
        found = True
        yield path
    if not found:
        raise DatasetError("no readable images in {!r}{}".format(
            folder, _first_reasons(search.skipped)))
    skipped.extend(SkippedFile(*entry) for entry in search.skipped)


def _expression_with_one_group(pattern):
    if not isinstance(pattern, str):
        raise TypeError("pattern must be a regular expression, not {!r}".format(pattern))
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError("pattern must be a regular expression such as r'(.+)_\\d+', not {!r}: "
                         "{}".format(pattern, error)) from None
    if expression.groups != 1:
        raise ValueError("pattern must have one group in parentheses, which is the label; {!r} has "
                         "{}".format(pattern, expression.groups))
    return expression


def _column(frame, name):
    columns = list(frame) if isinstance(frame, collections.abc.Mapping) else getattr(
        frame, "columns", None)
    if columns is None:
        raise TypeError("a frame must be a table with named columns, not {}".format(
            type(frame).__name__))
    if name not in columns:
        raise DatasetError("the frame has no column {!r}; it has {}".format(
            name, ", ".join(sorted(repr(column) for column in columns))))
    return frame[name]


def _raise_no_classes(search, files):
    folder, skipped = search.folder, list(search.skipped)
    for path in files:
        if search.is_image(path):
            raise DatasetError(
                "the images lie directly in {!r} ({}). Put them in one sub-folder for "
                "each class: {}".format(folder, os.path.basename(path),
                                        os.path.join(folder, "<class>", "<image>")))
    raise DatasetError("{!r} has no sub-folders{}. One for each class is needed: {}{}".format(
        folder, " that may be searched" if search.lost_links else "",
        os.path.join(folder, "<class>", "<image>"), _first_reasons(skipped)))


def normal_name(name):
    """The name of a class in the one form of Unicode that all looking the same have (NFC).

    A Mac writes accents as letters of their own.
    """
    return unicodedata.normalize("NFC", name)


def _first_reasons(skipped, limit=3):
    """The first few skipped files as the end of a sentence."""
    if not skipped:
        return ""
    text = "; ".join("{}: {}".format(*entry) for entry in skipped[:limit])
    more = "; and {} more".format(len(skipped) - limit) if len(skipped) > limit else ""
    return ". Skipped: {}{}".format(text, more)


def _count(number, one, many=None):
    return "{} {}".format(number, one if number == 1 else many or one + "s")


def _html_row(cells, tag):
    """A row of a table whose first cell is a name and whose others are numbers."""
    first = "<{0} style='text-align:left'>{1}</{0}>".format(tag, escape_html(cells[0]))
    return "<tr>{}{}</tr>".format(first, "".join(
        "<{0}>{1}</{0}>".format(tag, cell) for cell in cells[1:]))


def _skipped_html(skipped):
    if not skipped:
        return ""
    items = ["<li>{}: {}</li>".format(escape_html(path), escape_html(reason))
             for path, reason in skipped[:_ROWS_SHOWN]]
    if len(skipped) > _ROWS_SHOWN:
        items.append("<li>and {} more</li>".format(len(skipped) - _ROWS_SHOWN))
    return "<p>{} skipped:</p><ul>{}</ul>".format(len(skipped), "".join(items))
