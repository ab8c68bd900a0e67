"""Workers of a benchmark: processes that wait for their turn, so that one is busy at a time.

A worker prints `ready`, then for each line that comes in what it measured, as JSON.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any


def serve(turn: Callable[[], Any]) -> None:
    """Be a worker: take a turn for each line that comes in."""
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(turn()), flush=True)


class Worker:
    """A worker's process, from the command that starts it; ready when it is made.

    Raises:
        SystemExit: it ended by itself.
    """

    def __init__(self, command: list[str]) -> None:
        # What the suite sets for itself must not help or hinder the others.
        env = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        while self.answer().strip() != "ready":
            pass

    def answer(self) -> str:
        """Return the next line that the process prints."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args!r} ended with the status {self.process.wait()}")
        return line

    def turn(self) -> Any:
        """Have it take a turn; return what it measured."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.answer())

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()
