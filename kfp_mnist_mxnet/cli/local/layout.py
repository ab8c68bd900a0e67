"""Where each box of a pipeline's graph is drawn on the page of a run."""

import dataclasses
import re

from kfp_mnist_mxnet.cli.graph import Box

GAP, ROW = 14.0, 34.0  # between two boxes side by side, and between two layers
PADDING, TITLE = 10.0, 22.0  # inside a loop or condition: at its edges, and above for its name
LETTER = 6.2  # of the name of a loop or condition, on average
LANE = 12.0  # between two arrows that pass other boxes on their right
BESIDE = 28.0  # how far from the middle of a box such an arrow starts and ends
CORNER = 5.0  # radius
COLUMNS = 2  # boxes that stand side by side, so that a phone can show them


@dataclasses.dataclass
class Arrow:
    """A line between two boxes that crosses no other one.

    below: the y of the free space below the row of its start; lane: the x at which it passes the
    rows between the two, 0 for none.
    """

    start: Box
    end: Box
    below: float
    lane: float = 0.0

    @property
    def path(self) -> str:
        """The line as SVG has it."""
        x, end_x, top, end_y = self.start.middle, self.end.middle, self.below, self.end.y
        leave = self.start.y + self.start.height
        if not self.lane:
            half = (top + end_y) / 2
            return f"M{x} {leave} V{top} C{x} {half} {end_x} {half} {end_x} {end_y}"
        x, end_x, lane, r = x + BESIDE, end_x + BESIDE, self.lane, CORNER
        out, back = top + r + 1, end_y - 2 * r - 1
        return (
            f"M{x} {leave} V{out - r} Q{x} {out} {x + r} {out} H{lane - r} "
            f"Q{lane} {out} {lane} {out + r} V{back - r} Q{lane} {back} {lane - r} {back} "
            f"H{end_x + r} Q{end_x} {back} {end_x} {back + r} V{end_y}"
        )


def unroll(boxes: list[Box], ran: list[str]) -> list[Box]:
    """Return the boxes with a step in a loop once for each time that it ran.

    ran: names of the steps of a run: train-1 is the first time of train.
    """
    boxes = [dataclasses.replace(box, inside=unroll(box.inside, ran)) for box in boxes]
    for box in boxes:
        if box.kind == "loop":
            box.inside = [time for step in box.inside for time in times(step, ran)]
    return boxes


def times(step: Box, ran: list[str]) -> list[Box]:
    """Return a step in a loop once for each time that it ran, or as it is if it never did."""
    found = [re.fullmatch(rf"{re.escape(step.name)}-(\d+)", name) for name in ran]
    numbers = sorted(int(match[1]) for match in found if match)
    return [
        dataclasses.replace(
            step,
            name=f"{step.name}-{number}",
            title=f"{step.title}-{number}",
            after=[f"{name}-{number}" for name in step.after],
        )
        for number in numbers
    ] or [step]


def arrange(boxes: list[Box]) -> tuple[float, float]:
    """Place boxes from (0, 0) on, layer under layer; return the width and height of them all."""
    for box in boxes:
        if box.inside:
            width, height = arrange(box.inside)
            wide = max(width, LETTER * len(box.label))
            move(box.inside, PADDING + (wide - width) / 2, PADDING + TITLE)
            box.width, box.height = wide + 2 * PADDING, height + 2 * PADDING + TITLE
    grid = [[row[i : i + COLUMNS] for i in range(0, len(row), COLUMNS)] for row in layers(boxes)]
    widths = [max(row_width(row) for row in rows) for rows in grid]
    y = 0.0
    for rows, width in zip(grid, widths, strict=True):
        for row in rows:
            x = (max(widths) - width) / 2
            for box in row:
                move([box], x, y)
                x += box.width + GAP
            y += max(box.height for box in row) + GAP
        y += ROW - GAP
    return max(widths), y - ROW


def row_width(row: list[Box]) -> float:
    """Return the width of boxes side by side."""
    return sum(box.width for box in row) + GAP * (len(row) - 1)


def layers(boxes: list[Box]) -> list[list[Box]]:
    """Return the boxes by how many others, at most, are before them."""
    depths: dict[str, int] = {}
    for box in boxes:
        depths[box.name] = 1 + max((depths.get(name, 0) for name in box.after), default=0)
    found: dict[int, list[Box]] = {}
    for box in boxes:
        found.setdefault(depths[box.name], []).append(box)
    return [found[depth] for depth in sorted(found)]


def move(boxes: list[Box], x: float, y: float) -> None:
    """Move boxes, and what is in them."""
    for box in boxes:
        box.x, box.y = box.x + x, box.y + y
        move(box.inside, x, y)


def arrows(boxes: list[Box]) -> list[Arrow]:
    """Return an arrow for each pair of boxes of which one comes after the other."""
    named = {box.name: box for box in boxes}
    rows = sorted({box.y for box in boxes})
    bottoms = [max(box.y + box.height for box in boxes if box.y == y) for y in rows]
    lane = max(box.x + box.width for box in boxes)
    found = []
    for box in boxes:
        for start in (named[name] for name in box.after if name in named):
            row = rows.index(start.y)
            arrow = Arrow(start, box, bottoms[row])
            if rows.index(box.y) > row + 1:
                lane = arrow.lane = lane + LANE
            found.append(arrow)
        found += arrows(box.inside) if box.inside else []
    return found
