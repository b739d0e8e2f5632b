"""scikit-learn's conventions without importing scikit-learn before it is needed.

Its import takes longer than ours, the backbone's loading and the first features
together, and a classifier can be trained, used and saved without it.
"""
import functools
import sys

#: How the names begin of what `Estimator` does not give itself.
_GIVEN_BESIDES = ("set_", "get_metadata_routing", "_repr_", "_get_", "_estimator_type")

#: The class of the views of each class of estimators.
_view_classes = {}


class Estimator(object):
    """Base of the estimators: what scikit-learn's BaseEstimator gives, imported on first use.

    scikit-learn asks an estimator for methods, not for a base class ("Developing scikit-learn
    estimators" in its documentation). They are its own, reached by way of `sklearn_view`.
    """

    #: Names of those of scikit-learn's mixins that belong to an estimator.
    _sklearn_mixins = ()

    def get_params(self, deep=True):
        """Parameters of the estimator.

        Parameters
        ----------
        deep : bool
            Whether those of parameters that are estimators themselves belong to them.

        Returns
        -------
        dict of str to object
        """
        return super(Estimator, sklearn_view(self)).get_params(deep)

    def set_params(self, **parameters):
        """Change parameters of the estimator.

        Parameters
        ----------
        **parameters
            By name; ``parameter__name`` is one of a parameter that is an estimator.

        Returns
        -------
        Estimator
            This one.

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        super(Estimator, sklearn_view(self)).set_params(**parameters)
        return self

    def __repr__(self):
        return repr(sklearn_view(self))

    def __getstate__(self):
        return self.__dict__.copy()

    def __setstate__(self, state):
        self.__dict__.update(state)

    def __sklearn_tags__(self):
        return super(Estimator, sklearn_view(self)).__sklearn_tags__()

    def __getattr__(self, name):
        """What this release of scikit-learn gives besides: set_output, requests, diagrams."""
        if name.startswith(_GIVEN_BESIDES) and not is_sklearn_view(self):
            given = getattr(sklearn_view(self), name)
            return _returning(self, given) if name.startswith("set_") else given
        raise AttributeError("{!r} object has no attribute {!r}".format(type(self).__name__, name))


def _returning(estimator, change):
    """A method of the estimator's view that changes it and returns it, for the estimator."""
    @functools.wraps(change)
    def changed(*arguments, **options):
        change(*arguments, **options)
        return estimator
    return changed


def sklearn_view(estimator):
    """The same estimator as an instance of scikit-learn's base classes.

    Parameters
    ----------
    estimator : Estimator

    Returns
    -------
    sklearn.base.BaseEstimator
        Shares all attributes with the estimator.
    """
    if is_sklearn_view(estimator):
        return estimator
    kind = type(estimator)
    if kind not in _view_classes:
        _view_classes[kind] = _view_class(kind)
    view = object.__new__(_view_classes[kind])
    view.__dict__ = estimator.__dict__
    return view


def is_sklearn_view(estimator):
    """Whether an estimator is what `sklearn_view` returned."""
    return type(estimator) in _view_classes.values()


def _view_class(kind):
    import sklearn.base

    # It looks for these in the class itself, not in the classes that it derives from.
    own = {"__doc__": kind.__doc__, "__module__": kind.__module__,
           "__repr__": sklearn.base.BaseEstimator.__repr__}
    if hasattr(kind, "transform"):
        own["transform"] = kind.transform
    mixins = tuple(getattr(sklearn.base, name) for name in kind._sklearn_mixins)
    return type(kind.__name__, (kind,) + mixins + (sklearn.base.BaseEstimator,), own)


def is_sklearn_loaded():
    """Whether anyone has imported scikit-learn, so that its settings may ask for something."""
    return "sklearn.base" in sys.modules


def check_is_fitted(estimator, attribute):
    """Refuse an estimator that has not been fitted.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If it lacks the attribute.
    """
    if not hasattr(estimator, attribute):
        from sklearn.utils import validation
        validation.check_is_fitted(estimator, attribute)
