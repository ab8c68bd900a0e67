"""What each step of a pipeline carries, where steps carry the library.

The back end keeps a step's program eight times, and that of a step in a loop as often for each
iteration. So a file travels once a pipeline: a step brings what those before it did not, and hands
all of it on as an artifact. A step in a loop brings nothing: the one before it does. So do steps
whose code is cheaper in one piece with that of the one before them.
"""

import dataclasses
import functools
from typing import Any

from kfp_mnist_mxnet.shipping import programs
from kfp_mnist_mxnet.shipping.closure import ROOT
from kfp_mnist_mxnet.shipping.install import PUBLIC, Base
from kfp_mnist_mxnet.shipping.source import bare, joined, shake
from kfp_mnist_mxnet.shipping.step import Step


@dataclasses.dataclass(frozen=True)
class Journey:
    """Steps in the order in which they run; carried: the names of those that bring nothing."""

    steps: tuple[Step, ...]
    carried: frozenset[str] = frozenset()

    @functools.cached_property
    def files(self) -> dict[str, str]:
        """The files, path to content, that all steps need: what their functions reach."""
        names = sorted(set().union(*(step.closure.files for step in self.steps)))
        files = {name: (ROOT / name).read_text(encoding="utf-8") for name in names}
        modules = {name: bare(text) for name, text in files.items() if name.endswith(".py")}
        reached = shake(modules, "".join(step.source for step in self.steps))
        return {**files, **{name: joined(text) for name, text in reached.items()}}

    def before(self, step: Step) -> Step | None:
        """Return the step that hands the library on to this one, None for the first."""
        earlier = self.steps[: self.steps.index(step)]
        return next((other for other in reversed(earlier) if other.name not in self.carried), None)

    def hands_on(self, step: Step) -> bool:
        """Tell whether a later step takes the library from this one."""
        return any(self.before(other) == step for other in self.steps)

    def carries(self, step: Step) -> list[Step]:
        """Return the steps that bring nothing themselves, but take it from this one."""
        return [s for s in self.steps if s.name in self.carried and self.before(s) == step]

    def brings(self, step: Step) -> dict[str, str]:
        """Return the files, path to content, that a step carries."""
        if step.name in self.carried:
            return {}
        carried = self.carries(step)
        needed = set().union(*(other.closure.files for other in (step, *carried)))
        functions = {
            f"{programs.handed_module(other.name)}.py": programs.module_source(other.source)
            for other in carried
        }
        return {
            **{name: self.files[name] for name in needed - self.takes(step).keys()},
            **functions,
        }

    def takes(self, step: Step) -> dict[str, str]:
        """Return the files, path to content, that a step takes: all that the one before it has."""
        before = self.before(step)
        return {**self.takes(before), **self.brings(before)} if before else {}

    def component(self, step: Step, base: Base = PUBLIC, cuda: bool = False) -> Any:
        """Return the component of a step."""
        takes, hands_on = self.takes(step), self.hands_on(step)
        if step.name in self.carried:
            program = programs.carried(step.name, takes)
        else:
            program = programs.embedded(step.name, step.source, self.brings(step), takes, hands_on)
        return step.embedded(program, base, cuda, bool(takes), hands_on)
