"""scikit-learn's conventions without importing scikit-learn before it is needed.

Its import takes longer than ours, the backbone's loading and the first features
together, and a classifier can be trained, used and saved without it.
"""
import functools
import inspect
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

    _is_sklearn_view = False

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
        if parameters and set(parameters) <= set(parameter_names(type(self))):
            for name, value in parameters.items():
                setattr(self, name, value)
        else:
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
        if name.startswith(_GIVEN_BESIDES) and not self._is_sklearn_view:
            given = getattr(sklearn_view(self), name)
            return _returning(self, given) if name.startswith("set_") else given
        raise AttributeError("{!r} object has no attribute {!r}".format(type(self).__name__, name))


def parameter_names(kind):
    """The names of the parameters of a class of estimators, a sorted list of str."""
    parameters = inspect.signature(kind.__init__).parameters.values()
    return sorted(each.name for each in parameters if each.name != "self"
                  and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD))


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
        Shares all attributes with the estimator. Copies and pickles of it are estimators of the
        original class.
    """
    if estimator._is_sklearn_view:
        return estimator
    kind = type(estimator)
    # Of several threads that make the class at once, all take the first one's.
    view_class = _view_classes.get(kind) or _view_classes.setdefault(kind, _view_class(kind))
    view = object.__new__(view_class)
    view.__dict__ = estimator.__dict__
    return view


def in_container(estimator, X, features):
    """Features of X as scikit-learn's set_output asks for them: an array or a frame."""
    if "sklearn.base" not in sys.modules:
        return features  # nobody can have asked
    return sklearn_view(estimator).transform(X, features=features)


def _blank(kind):
    return object.__new__(kind)


def _view_class(kind):
    import sklearn.base

    def reduce(self, protocol):
        return _blank, (kind,), self.__getstate__()

    # scikit-learn looks for these in the class itself, not in the classes that it derives from.
    own = {"__doc__": kind.__doc__, "__module__": kind.__module__, "__reduce_ex__": reduce,
           "__repr__": sklearn.base.BaseEstimator.__repr__, "_is_sklearn_view": True}
    if "TransformerMixin" in kind._sklearn_mixins:
        # It wraps this method, so that frames come out where they are asked for. A named argument
        # would count as metadata to be requested.
        own["transform"] = lambda self, X, **given: given["features"]
    mixins = tuple(getattr(sklearn.base, name) for name in kind._sklearn_mixins)
    return type(kind.__name__, (kind,) + mixins + (sklearn.base.BaseEstimator,), own)


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
