"""How a run ends before its time: told by a signal, or with the process that runs it."""

import contextlib
import fcntl
import pathlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, TextIO

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOG = "log.txt"  # in the directory of a run; locked as long as the run goes on


class Interrupted(BaseException):
    """A run was told to end; not an Exception, which kfp takes for a step that failed."""


class Running:
    """The steps that go on, which can all be told to end; steps of a loop call it from threads.

    ended: whether they were, after which no step starts.
    """

    def __init__(self) -> None:
        self.ended = False
        self.stops: list[Callable[[int], Any]] = []

    @contextlib.contextmanager
    def step(self, stop: Callable[[int], Any]) -> Iterator[None]:
        """Hold a step that goes on in the block; an error there ends them all.

        stop: sends a signal to the step, if it has not ended.

        Raises:
            Interrupted: no step is to start.
        """
        self.stops.append(stop)
        try:
            if self.ended:
                raise Interrupted
            yield
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Tell all steps to end, and kill them if that was done before."""
        number = signal.SIGKILL if self.ended else signal.SIGTERM
        self.ended = True
        for stop in self.stops.copy():  # without a lock, which what was interrupted may hold
            stop(number)


@contextlib.contextmanager
def interruptible(running: Running) -> Iterator[None]:
    """End the steps and raise Interrupted in the block when a signal asks the process to end.

    The first signal does; a later one kills the steps that have not ended. One that is ignored, as
    under nohup, stays so.
    """

    def interrupt(number: int, _: Any) -> None:
        first = not running.ended
        running.end()
        if first:
            name = signal.Signals(number).name
            raise Interrupted(
                "interrupted" if number == signal.SIGINT else f"interrupted by {name}"
            )

    with contextlib.ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:
                    stack.callback(signal.signal, number, signal.signal(number, interrupt))
        yield


@contextlib.contextmanager
def locked_log(directory: pathlib.Path) -> Iterator[TextIO]:
    """Open the log of a run, locked until the block or the process ends, however that ends."""
    try:
        with (directory / LOG).open("w", encoding="utf-8") as log:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(log, fcntl.LOCK_EX)
            yield log
    except OSError as error:
        error.filename = error.filename or str(directory / LOG)  # of a disk that is full
        raise


def goes_on(directory: pathlib.Path) -> bool:
    """Tell whether a run's process is there, from the lock on its log."""
    try:
        with (directory / LOG).open("rb") as log:
            fcntl.flock(log, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:  # it is locked, or can't be
        return True
    return False
