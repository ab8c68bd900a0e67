"""What lines of a step's log say, wherever it ran."""

import re
import signal

LONGEST = 1000  # characters of a sentence that is shown
ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
IDLE = re.compile(r"\[KFP Executor \S+ \S+ INFO\]: skipped: (.*)")

EXECUTOR_INPUT = re.compile(r"\[KFP Executor [^\]]*\]: Got executor_input")


def clean(text: str) -> str:
    """Return a text on one line, without what a terminal would take for more than text."""
    words = " ".join(ESCAPE.sub("", text).split())
    shown = "".join(char for char in words if char.isprintable())
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


def idle_reason(log: str) -> str:
    """Return what a step that had nothing to do needs, as its log says it; empty if it did it."""
    found = IDLE.search(log)
    return found[1].strip() if found else ""


def killed_by(status: int) -> str:
    """Say which signal ended a step, empty for none.

    status: of a process, negative for a signal, or of a container, 128 more than the signal.
    """
    number = -status if status < 0 else status - 128
    if number not in set(signal.Signals):
        return ""
    often = ", as the system does when it runs out of memory" if number == signal.SIGKILL else ""
    return f"killed by {signal.Signals(number).name}{often}"


class LogFilter:
    """Leaves out of a step's log, line by line, what nobody reads: colours, and kfp's own input."""

    def __init__(self) -> None:
        self.in_input = False

    def keep(self, line: str) -> str:
        """Return what a log shows of a line: nothing of the JSON after `Got executor_input`."""
        goes_on = self.in_input and line[:1] in (" ", "{", "}")
        self.in_input = goes_on or EXECUTOR_INPUT.match(line) is not None
        kept = "" if self.in_input else ESCAPE.sub("", line)
        self.in_input = self.in_input and not line.startswith("}")
        return kept
