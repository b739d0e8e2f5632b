"""Progress bars: tqdm's, in the form that suits where the program runs."""
import sys


def progress_bar(total, description, unit, verbose):
    """A tqdm bar with the time left, or a silent one that does not import it.

    Parameters
    ----------
    total : int
        Number of units.
    description : str
    unit : str
        Name of one unit.
    verbose : bool or int
        False for no bar.

    Returns
    -------
    tqdm.tqdm or SilentBar
        To be used as a context manager.
    """
    if not verbose or sys.stderr is None:  # a daemon's may be closed
        return SilentBar()
    options = {"total": total, "desc": description, "unit": unit}
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
