"""How numbers are written: one notation for reports, cards, pages and terminals."""

import math

DASH = "\N{EN DASH}"  # for what is not defined


def percent(share: float, digits: int = 2) -> str:
    """Return a share, 0 to 1, in per cent: 99.33 %; a dash if it is not finite."""
    return f"{share:.{digits}%}"[:-1] + "\N{NO-BREAK SPACE}%" if math.isfinite(share) else DASH


def percent_range(low: float, high: float) -> str:
    """Return the ends of an interval of shares in per cent: 99.15 to 99.47."""
    return f"{100 * low:.2f} to {100 * high:.2f}".replace(" ", "\N{NO-BREAK SPACE}")
