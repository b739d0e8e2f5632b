"""Arrays that are made when they are wanted, so that no two copies of a network are in memory."""
import numpy as np


class Stored(object):
    """An array of a node: its shape, and how it is made.

    Parameters
    ----------
    shape : tuple of int
    make : callable
        Without arguments; returns the array.
    """

    __slots__ = ("shape", "_make")

    def __init__(self, shape, make):
        self.shape = tuple(shape)
        self._make = make

    @classmethod
    def of(cls, array, change=None):
        """`array`, of any type of number, after ``change(array)`` where that is given.

        The change may be a view only: reshape, transpose and the like.
        """
        view = array if change is None else change(array)
        return cls(view.shape, lambda: view)

    def read(self):
        """The array, C-contiguous and of float32."""
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(self._make(), dtype=np.float32)

    def __repr__(self):
        return "Stored({})".format(self.shape)
