"""The log of a process that Katib may read."""

import logging
import sys
import time


def log_to_stdout(timed: bool) -> None:
    """Write log messages to the standard output, in a trial of Katib each with its time.

    Katib dates a metric by the RFC 3339 time at the start of its line, and to year 1 without one.
    Of two metrics of one time it may take either for the latest, so there are milliseconds.
    """
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s.%(msecs)03dZ %(message)s" if timed else "%(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
        stream=sys.stdout,
    )
