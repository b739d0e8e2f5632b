"""Probabilities that mean what they say: temperature scaling.

C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On calibration of modern neural
networks", ICML 2017: the logits are divided by one number, the temperature,
that makes the validation samples most probable. It never changes which class
is the most probable one.
"""
import numpy as np

#: Standard deviation of the logarithm of the temperature before any sample is seen. Of a hundred
#: validation samples a good classifier may get all right, and the likeliest temperature is 0;
#: among 0.25, 0.5, 1 and infinity this gave the smallest log loss on held-out photographs of gear.
_PRIOR_DEVIATION = 0.25

_FURTHEST = 3.0  # logarithm of the most extreme temperature considered


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
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    if len(labels) == 0:
        return 1.0
    probabilities = np.asarray(probabilities, np.float64)
    logits = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    own = logits[np.arange(len(labels)), labels]

    def log_loss(log_temperature):
        scale = np.exp(-log_temperature)
        loss = (logsumexp(logits * scale, axis=1) - own * scale).sum()
        return loss + 0.5 * (log_temperature / _PRIOR_DEVIATION) ** 2

    found = minimize_scalar(log_loss, bounds=(-_FURTHEST, _FURTHEST), method="bounded")
    return float(np.exp(found.x))
