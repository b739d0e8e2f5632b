"""Warnings that point at the line of the user's program which caused them."""
import sys
import warnings


def warn_caller(message, category):
    """Warn, naming the place from which this package was called.

    Parameters
    ----------
    message : str
    category : type
        A subclass of Warning.
    """
    # Our context managers are called through contextlib, our estimators through scikit-learn.
    passed = (__name__.split(".")[0], "contextlib", "sklearn")
    level, frame = 1, sys._getframe(0)
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in passed:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
