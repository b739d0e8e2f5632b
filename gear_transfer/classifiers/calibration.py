"""Probabilities that mean what they say: temperature scaling.

C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On calibration of modern neural
networks", ICML 2017: the logits are divided by one number, the temperature,
that makes the validation samples most probable. It never changes which class
is the most probable one.
"""
import math

import numpy as np

#: Standard deviation of the logarithm of the temperature before any sample is seen. Of a hundred
#: validation samples a good classifier may get all right, and the likeliest temperature is 0;
#: among 0.25, 0.5, 1 and infinity this gave the smallest log loss on held-out photographs of gear.
_PRIOR_DEVIATION = 0.25

_FURTHEST = 3.0  # logarithm of the most extreme temperature considered
_CLOSE = 1e-6    # to how much of the logarithm the temperature is found


def fit_temperature(probabilities, labels):
    """The temperature that suits held-out samples best.

    Parameters
    ----------
    probabilities : ndarray of shape (n, c)
        What the classifier gives samples that it was not trained on.
    labels : ndarray of int, shape (n,)
        The column of the true class of each.

    Returns
    -------
    float
        More than 1 where the classifier is too sure of itself, less than 1
        where it is not sure enough; 1 for no samples.

    Examples
    --------
    >>> import numpy as np
    >>> sure = np.repeat([[0.99, 0.01]], 100, axis=0)
    >>> fit_temperature(sure, np.repeat([0, 1], [70, 30])) > 1.5
    True
    """
    if len(labels) == 0:
        return 1.0
    probabilities = np.asarray(probabilities, np.float64)
    logits = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    own = logits[np.arange(len(labels)), labels]

    def log_loss(log_temperature):
        scale = np.exp(-log_temperature)
        loss = (np.logaddexp.reduce(logits * scale, axis=1) - own * scale).sum()
        return loss + 0.5 * (log_temperature / _PRIOR_DEVIATION) ** 2

    with np.errstate(invalid="ignore"):  # of probabilities that are not numbers
        return math.exp(_minimum(log_loss, -_FURTHEST, _FURTHEST))


def _minimum(function, low, high):
    """Where a function with one minimum between two places has it, by golden section.

    J. Kiefer, "Sequential minimax search for a maximum", Proceedings of the AMS 4, 1953.
    """
    share = (math.sqrt(5) - 1) / 2
    left, right = high - share * (high - low), low + share * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > _CLOSE:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - share * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + share * (high - low)
            at_right = function(right)
    return (low + high) / 2
