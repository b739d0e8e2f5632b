"""Progress bars: tqdm's, in the form that suits where the program runs."""
import contextlib
import sys
import time


_FEW = 64  # units that may be over in a moment
_DELAY = 0.5  # seconds of work before which no bar is shown for so few

_silent = []  # not empty where the command line was told to be quiet


@contextlib.contextmanager
def no_automatic_bars(quiet):
    """Show no bars within the block but those that are asked for.

    Parameters
    ----------
    quiet : bool
        False changes nothing.
    """
    if quiet:
        _silent.append(True)
    try:
        yield
    finally:
        if quiet:
            _silent.pop()


def progress_bar(total, description, unit, verbose):
    """A tqdm bar with the time left, or a silent one that does not import it.

    Parameters
    ----------
    total : int or None
        Number of units, None where nobody knows yet.
    description : str
    unit : str
        Name of one unit.
    verbose : bool, int or None
        False for no bar; None for one on a terminal and in a notebook, and none elsewhere. With
        None a bar of few units, or of nobody knows how many, appears after half a second.

    Returns
    -------
    tqdm.tqdm or SilentBar
        To be used as a context manager.
    """
    if total == 0 or not _is_wanted(verbose):
        return SilentBar()
    options = {"total": total, "desc": description, "unit": unit}
    if verbose is None and (total is None or total <= _FEW):
        return _DelayedBar(options)
    return _shown_bar(options)


def _is_wanted(verbose):
    """Whether somebody is there to look at a bar."""
    if sys.stderr is None:  # a daemon's may be closed
        return False
    if verbose is not None:
        return bool(verbose)
    return not _silent and (_is_notebook() or _is_terminal(sys.stderr))


def _is_terminal(stream):
    try:
        return stream.isatty()
    except (AttributeError, ValueError):  # something in its place, or closed
        return False


def _shown_bar(options):
    if _can_show_widgets():
        from tqdm.notebook import tqdm
        return tqdm(**options)
    from tqdm import tqdm
    if _is_notebook():
        # Each refresh is kept in the notebook's file where nothing draws over it.
        return tqdm(file=sys.stdout, mininterval=1.0, **options)
    return tqdm(file=sys.stderr, **options)


class SilentBar(object):
    """What is called of a tqdm bar, doing nothing."""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def update(self, n=1):
        """Count units."""

    def set_postfix(self, values, refresh=True):
        """Show values behind the bar."""


class _DelayedBar(SilentBar):
    """A bar that appears at the first update after some time.

    Parameters
    ----------
    options : dict
        Of tqdm.
    """

    def __init__(self, options):
        self._due, self._options = time.monotonic() + _DELAY, options
        self._before, self._bar = 0, None

    def __exit__(self, *exception):
        if self._bar is not None:
            self._bar.close()

    def update(self, n=1):
        """Count units."""
        if self._bar is not None:
            self._bar.update(n)
            return
        self._before += n
        if time.monotonic() >= self._due:
            self._bar = _shown_bar(self._options)
            self._bar.update(self._before)

    def set_postfix(self, values, refresh=True):
        """Show values behind the bar."""
        if self._bar is not None:
            self._bar.set_postfix(values, refresh=refresh)


def _is_notebook():
    """Whether the program runs in a Jupyter kernel."""
    shell = sys.modules.get("IPython")
    instance = shell.get_ipython() if shell is not None else None
    return instance is not None and type(instance).__name__ == "ZMQInteractiveShell"


def _can_show_widgets():
    """Whether a notebook has the package that draws tqdm's bar as a widget."""
    if not _is_notebook():
        return False
    try:
        import ipywidgets
    except ImportError:
        return False
    return ipywidgets is not None
