"""Two models on the same images: which is better, and how sure that is."""

import dataclasses
import math
import statistics

import numpy as np

EXACT = 1000  # discordant images up to which the test is exact
LEVEL = 0.05


@dataclasses.dataclass(frozen=True)
class Paired:
    """What two models make of the same images.

    fixed, broken: numbers of the images that only the second, only the first model has right.
    difference: the second accuracy less the first one; low, high: its 95 % confidence interval.
    p_value: of McNemar's test.
    """

    images: int
    fixed: np.ndarray
    broken: np.ndarray
    difference: float
    low: float
    high: float
    p_value: float

    @property
    def verdict(self) -> str:
        """Say which model is better: `better` or `worse` than the first, or that neither is."""
        if self.p_value >= LEVEL:
            return "no clear difference"
        return "better" if self.difference > 0 else "worse"


def p_value(value: float) -> str:
    """Return a p-value as a person reads it."""
    return f"= {value:.3f}" if value >= 0.001 else "< 0.001"


def pair(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> Paired:
    """Compare the predictions of two models; all whole numbers (N,), N at least 1."""
    right, right_too = first == labels, second == labels
    fixed, broken = np.flatnonzero(~right & right_too), np.flatnonzero(right & ~right_too)
    low, high = difference_interval(len(fixed), len(broken), len(labels))
    return Paired(
        len(labels),
        fixed,
        broken,
        (len(fixed) - len(broken)) / len(labels),
        low,
        high,
        mcnemar(len(fixed), len(broken)),
    )


def mcnemar(fixed: int, broken: int) -> float:
    """Return the two-sided p-value of McNemar's test: exact, or with many images approximate.

    Sources: McNemar, "Note on the sampling error of the difference between correlated proportions
    or percentages", Psychometrika 12 (1947); the correction for continuity is Edwards's, "Note on
    the correction for continuity in testing the significance of the difference between correlated
    proportions", Psychometrika 13 (1948). Few images: the binomial test of fixed against broken.
    """
    discordant = fixed + broken
    if discordant <= EXACT:
        tail = sum(math.comb(discordant, k) for k in range(min(fixed, broken) + 1))
        return min(1.0, 2 * tail / 2**discordant)
    chi_squared = max(0, abs(fixed - broken) - 1) ** 2 / discordant
    return math.erfc(math.sqrt(chi_squared / 2))


def difference_interval(fixed: int, broken: int, images: int) -> tuple[float, float]:
    """Return the ends of the 95 % confidence interval of the difference of paired accuracies.

    Source: Bonett and Price, "Adjusted Wald Confidence Interval for a Difference of Binomial
    Proportions Based on Paired Data", Journal of Educational and Behavioral Statistics 37 (2012).
    """
    z = statistics.NormalDist().inv_cdf(0.975)
    better, worse = (fixed + 1) / (images + 2), (broken + 1) / (images + 2)
    middle = better - worse
    half = z * math.sqrt((better + worse - middle**2) / (images + 2))
    return max(-1.0, middle - half), min(1.0, middle + half)
