"""What the log of a step's pod says: the launcher's lines, and between them the step's own."""

import re

from kfp_mnist_mxnet.cli.logs import ESCAPE, clean, killed_by

LAUNCHER = re.compile(r"[IWEF]\d{4} [\d:.]+ +\d+ \S+:\d+\] (.*)")
ARGO = re.compile(r'time="?\S+"? level=\w+ |Error: exit status \d+$')
PROGRAM = re.compile(r"failed to execute component: (?:exit status (\d+)|signal: (.+))")
DRIVER = re.compile(r"KFP driver: (?:driver\.\w+\(.*?\) failed: )?")
METRICS = re.compile(r'"metrics": *\{\s*"artifacts": *\[\s*\{[^{}]*"metadata": *\{([^{}]*)\}')
ACCURACY = re.compile(r'"accuracy": *([-+.\deE]+)')
OUTPUT = re.compile(r'\{\s*"parameterValues": *\{\s*"Output": *([-+.\deE]+)\s*\}')


def error_sentence(log: str) -> str:
    """Return what the log of a pod that failed says of it, empty if it says nothing.

    Of a step: its exception, or the last line that it wrote, or the signal that ended it. Of the
    launcher or a driver that itself failed: its last words.
    """
    lines = [line for line in ESCAPE.sub("", log).splitlines() if line.strip()]
    launcher = [match[1] for line in lines if line[0] == "F" and (match := LAUNCHER.match(line))]
    ended = PROGRAM.fullmatch(launcher[-1]) if launcher else None
    if launcher and not ended:
        return clean(DRIVER.sub("", launcher[-1]))
    if ended and (signal := killed_by(int(ended[1])) if ended[1] else ended[2]):
        return clean(signal)
    own = [line for line in lines if not (LAUNCHER.match(line) or ARGO.match(line))]
    traces = [i for i, line in enumerate(own) if line.startswith("Traceback (most recent call")]
    raised = [line for line in own[traces[-1] + 1 :] if line[0] != " "] if traces else []
    said = [*raised[:1], *own[-1:], ""][0]
    return clean(re.sub(r"^([\w.]+: )+", "", said.strip()))


def read_accuracy(log: str) -> float | None:
    """Return the accuracy among the metrics that a step has put out, None if there is none.

    The launcher writes the step's outputs into the log, but no more than 15,000 characters of
    them, which the confusion matrix of evaluate uses up: its accuracy is its output parameter too.
    """
    outputs = log.rpartition("] ExecutorOutput: ")[2]
    metrics = METRICS.search(outputs)
    found = ACCURACY.search(metrics[1]) if metrics else None
    if not found and '"confusionMatrix"' in outputs:
        found = OUTPUT.match(outputs)
    return float(found[1]) if found else None
