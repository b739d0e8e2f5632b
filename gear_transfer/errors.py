"""The exceptions and warnings that the package raises.

Every one derives from `GearTransferError`; those that report bad input also
derive from `ValueError`, those that report a failing engine from
`RuntimeError`, so that code which knows nothing of this package still
catches them.
"""


class GearTransferError(Exception):
    """Base class of all errors raised by gear_transfer."""


class DatasetError(GearTransferError, ValueError):
    """A folder of images or a set of labels cannot be used."""


class ImageError(GearTransferError, ValueError):
    """An image cannot be read.

    Parameters
    ----------
    path : str
        The file, or a description of the image where there is no file.
    reason : str
        What is wrong with it.
    """

    def __init__(self, path, reason):
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self):
        return "cannot read image {}: {}".format(self.path, self.reason)


class WeightsError(GearTransferError, ValueError):
    """A weight file cannot be used: missing, damaged or of another shape."""


class GraphError(GearTransferError, ValueError):
    """A network cannot be built or a layer of it does not exist."""


class ModelFileError(GearTransferError, ValueError):
    """A saved model cannot be read."""


class EngineError(GearTransferError, RuntimeError):
    """The compute engine (oneDNN) refused or failed."""


class DatasetWarning(UserWarning):
    """A folder or set of images has lost a class, or may not be what it looks like."""


class SkippedImageWarning(UserWarning):
    """Images were left out because they cannot be read."""
