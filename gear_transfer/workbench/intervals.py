"""How sure a share of right answers is: an interval, a verdict, a comparison."""
import numpy as np

#: What can be said of a share and a target.
VERDICTS = ("met", "not met", "not proven")


#: The quantile of a 95 % interval, so that the usual case does not wait for SciPy.
_Z_95 = 1.959963984540054


def wilson_interval(share, n, confidence=0.95):
    """Interval of a share that was observed in n independent trials.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927;
    recommended for all n by L. D. Brown, T. T. Cai and A. DasGupta, "Interval estimation for a
    binomial proportion", 2001.

    Parameters
    ----------
    share : float
        From 0 to 1.
    n : float
        Number of trials, more than 0.
    confidence : float

    Returns
    -------
    (float, float)

    Examples
    --------
    >>> from gear_transfer.workbench.intervals import wilson_interval
    >>> "{:.3f} {:.3f}".format(*wilson_interval(0.9, 100))
    '0.826 0.945'
    """
    z = _Z_95
    if confidence != 0.95:
        from scipy.special import ndtri
        z = float(ndtri((1 + confidence) / 2))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # It always holds the share; rounding alone could leave out one of 0 or 1.
    return float(max(0, min(share, centre - half))), float(min(1, max(share, centre + half)))


def verdict(interval, target):
    """Whether a share reaches a target: "met", "not met" or "not proven".

    Parameters
    ----------
    interval : (float, float)
    target : float

    Returns
    -------
    str
        "met" where the whole interval is at the target or above, "not met" where it is below.
    """
    low, high = interval
    return "met" if low >= target else "not met" if high < target else "not proven"


def sign_test(gained, lost):
    """Probability of at least so many gains among the changes if both were as likely.

    The exact one-sided sign test, which for paired right and wrong answers is McNemar's (Q.
    McNemar, "Note on the sampling error of the difference between correlated proportions", 1947).

    Parameters
    ----------
    gained, lost : int
        Samples that became right, and that became wrong.

    Returns
    -------
    float

    Examples
    --------
    >>> from gear_transfer.workbench.intervals import sign_test
    >>> "{:.5f} {:.5f}".format(sign_test(5, 0), sign_test(3, 3))
    '0.03125 0.65625'
    """
    from scipy.stats import binom
    return float(binom.sf(gained - 1, gained + lost, 0.5)) if gained + lost else 1.0


def standard_error(right, other_right, n):
    """Standard error of the difference of two shares that the same samples were counted for.

    Parameters
    ----------
    right, other_right : ndarray of bool, shape (m,)
        Whether each sample was right, the one way and the other.
    n : int
        Independent samples among them.

    Returns
    -------
    float

    Examples
    --------
    >>> from gear_transfer.workbench.intervals import standard_error
    >>> round(standard_error([True, True, False, False], [True, False, True, False], 4), 3)
    0.354
    """
    change = np.asarray(right, float) - np.asarray(other_right, float)
    return float(change.std() / np.sqrt(n))
