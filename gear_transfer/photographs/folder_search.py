"""Walks over folders of images: what is an image, what is left out and why, what is a split."""
import os
import re

from ..common.progress import SilentBar
from ..errors import DatasetError, ImageError
from .images import open_image

# What systems and programs leave in folders; those whose names begin with a dot as well.
_SYSTEM_NAMES = ("thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "lost+found",
                 "system volume information", "__pycache__")

# What the folders with the parts of a split are called by Keras, PyTorch, Hugging Face and others,
# and words that stand beside these names, as in seg_train or Training-Set.
_ROLES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
          "validate": "val", "dev": "val", "eval": "val", "evaluation": "val", "test": "test",
          "testing": "test"}
_FILLERS = ("set", "data", "dataset", "images", "image", "imgs", "img", "photos", "pictures",
            "split", "seg")


def role_of(name):
    """The part of a split that a folder of this name holds.

    Parameters
    ----------
    name : str

    Returns
    -------
    {"train", "val", "test"} or None
    """
    text = re.sub("[0-9]{4}$", "", name.lower())  # a year, as in train2017
    if any(letter.isdigit() for letter in text):
        return None
    words = [word for word in re.split("[^a-z]+", text) if word and word not in _FILLERS]
    if len(words) != 1:
        return None
    for filler in ("",) + _FILLERS:
        if words[0].endswith(filler) and words[0][:len(words[0]) - len(filler)] in _ROLES:
            return _ROLES[words[0][:len(words[0]) - len(filler)]]
    return None


class FolderSearch(object):
    """One walk over a folder, which notes what is left out and why.

    Parameters
    ----------
    folder : str
    strict : bool
        Raise at the first thing that would be left out.
    follow_links : bool
        Follow symbolic links out of the folder.
    bar : progress bar, optional
        Counts the files.

    Attributes
    ----------
    skipped : list of (str, str)
        Path and reason.
    lost_links : list of str
        Links to folders that were not followed.
    """

    def __init__(self, folder, strict, follow_links=False, bar=None):
        if not os.path.exists(folder):
            raise DatasetError("there is no folder {!r} (looked in {})".format(
                folder, os.path.dirname(os.path.abspath(folder))))
        if not os.path.isdir(folder):
            raise DatasetError("{!r} is a file, not a folder".format(folder))
        self.folder = folder
        self.strict = strict
        self.skipped = []
        self.lost_links = []
        self._real_folder = os.path.realpath(folder)
        self._follow_links = follow_links
        self._bar = SilentBar() if bar is None else bar

    def skip(self, path, reason):
        """Note what is left out, or raise with `strict`."""
        if self.strict:
            raise ImageError(path, reason)
        self.skipped.append((path, reason))

    def root_entries(self):
        """Sorted paths of the folders and of the files in the folder itself."""
        try:
            return self.entries(self.folder)
        except OSError as error:
            raise DatasetError("folder {!r} cannot be listed: {}".format(
                self.folder, error.strerror)) from error

    def entries(self, folder):
        """Sorted paths of the folders and of the files in a folder, hidden ones left out."""
        folders, files = [], []
        for path, is_folder in self._iterate_entries(folder):
            (folders if is_folder else files).append(path)
        return folders, files

    def _iterate_entries(self, folder):
        """Pairs (path, whether it is a folder) of what is in a folder, in order of the names."""
        for name in sorted(os.listdir(folder)):
            if name.startswith(".") or name.lower() in _SYSTEM_NAMES:
                continue
            path = os.path.join(folder, name)
            if os.path.islink(path) and not self._may_follow(path):
                if os.path.isdir(path):
                    self.lost_links.append(path)
                continue
            yield path, os.path.isdir(path)

    def _may_follow(self, link):
        """Whether a symbolic link is a file within the folder; if not it is skipped."""
        real = os.path.realpath(link)
        inside = (real + os.sep).startswith(os.path.join(self._real_folder, ""))
        if not os.path.exists(link):
            self.skip(link, "it is a symbolic link that leads nowhere or back to itself")
        elif not inside and not self._follow_links:
            self.skip(link, "it is a symbolic link that leads out of the folder (follow_links=True, "
                      "--follow-links, follows it)")
        elif inside and os.path.isdir(link):
            self.skip(link, "it is a symbolic link to a folder inside, which would count twice")
        else:
            return True
        return False

    def images_below(self, folder):
        """Paths of the images in a folder and all folders below it, sorted."""
        return list(self.iterate_images_below(folder))

    def iterate_images_below(self, folder):
        """The same one by one, the first before the others are looked at."""
        seen, waiting = set(), [iter([(folder, True)])]
        while waiting:
            path, is_folder = next(waiting[-1], (None, False))
            if path is None:
                waiting.pop()
            elif is_folder:
                waiting.append(self._entries_once(path, seen))
            elif self.is_image(path):
                yield path

    def _entries_once(self, folder, seen):
        """What is in a folder, unless it is among those `seen`, which it joins, or cannot be listed."""
        real = os.path.realpath(folder)
        if real in seen:
            self.skip(folder, "it is a symbolic link to a folder that was searched already")
            return
        seen.add(real)
        try:
            for entry in self._iterate_entries(folder):
                yield entry
        except OSError as error:
            self.skip(folder, "the folder cannot be listed: {}".format(error.strerror))

    def is_image(self, path):
        """Whether a file is an image by its header; if not it is skipped."""
        self._bar.update(1)
        try:
            with open_image(path):
                return True
        except ImageError as error:
            self.skip(path, error.reason)
            return False

    def reason_below(self, folder):
        """Why there is nothing in a folder: the first reason for what was left out of it."""
        reasons = [reason for path, reason in self.skipped
                   if (path + os.sep).startswith(os.path.join(folder, ""))
                   and reason != NO_IMAGES]
        if not reasons:
            return "it is empty"
        more = "" if len(reasons) == 1 else " and {} more".format(len(reasons) - 1)
        return "of the first file{}: {}".format(more, reasons[0])


#: The reason of a folder without images.
NO_IMAGES = "no images"


def same_below(folders):
    """Names of the sub-folders, if all of these folders have the same two or more; else none.

    Parameters
    ----------
    folders : sequence of str

    Returns
    -------
    list of str
    """
    found = []
    for folder in folders:
        try:
            names = sorted(name for name in os.listdir(folder)
                           if not name.startswith(".") and name.lower() not in _SYSTEM_NAMES)
        except OSError:
            return []
        if len(names) < 2 or not all(os.path.isdir(os.path.join(folder, name)) for name in names):
            return []
        found.append(names)
    return found[0] if len(found) > 1 and all(names == found[0] for names in found) else []
