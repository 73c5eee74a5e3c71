"""The lineage graph as a drawing: columns by distance from the start, arrows from source to what came of it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from governance.data.lineage import Graph
from governance.data.models import Asset

WIDTH, HEIGHT = 168, 46
GAP_X, GAP_Y = 40, 16
MARGIN = 8
SHOWN = 60


@dataclass(frozen=True, slots=True)
class Box:
    """One asset, drawn at (x, y) in pixels; `path` and `words` are what stands in it."""

    asset: Asset
    x: int
    y: int
    start: bool

    @property
    def middle(self) -> int:
        return self.y + HEIGHT // 2

    @property
    def name(self) -> str:
        return self.asset.name if len(self.asset.name) <= 21 else f"{self.asset.name[:20]}…"

    @property
    def text_x(self) -> int:
        return self.x + 10

    @property
    def name_y(self) -> int:
        return self.y + 19

    @property
    def kind_y(self) -> int:
        return self.y + 36


@dataclass(frozen=True, slots=True)
class Arrow:
    """One edge as an SVG path."""

    path: str
    relation: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes and arrows with the size of the whole, in pixels."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    box_width: int = WIDTH
    box_height: int = HEIGHT


def draw(graph: Graph) -> Drawing | None:
    """The drawing, or None where there is nothing to connect or too much for a picture; the list shows everything."""
    if not 1 < len(graph.nodes) <= SHOWN:
        return None
    columns: dict[int, list[Asset]] = defaultdict(list)
    for node in sorted(graph.nodes, key=lambda node: (node.depth, node.asset.type, node.asset.name)):
        columns[node.depth].append(node.asset)
    tallest = max(map(len, columns.values()))
    height = 2 * MARGIN + tallest * (HEIGHT + GAP_Y) - GAP_Y
    boxes: dict[object, Box] = {}
    for index, depth in enumerate(sorted(columns)):
        column = columns[depth]
        top = (height - len(column) * (HEIGHT + GAP_Y) + GAP_Y) // 2
        for row, asset in enumerate(column):
            boxes[asset.id] = Box(
                asset,
                MARGIN + index * (WIDTH + GAP_X),
                top + row * (HEIGHT + GAP_Y),
                asset.id == graph.start.id,
            )
    arrows = tuple(
        Arrow(_path(boxes[edge.source_id], boxes[edge.target_id]), edge.get_relation_display())
        for edge in graph.edges
    )
    width = 2 * MARGIN + len(columns) * (WIDTH + GAP_X) - GAP_X
    return Drawing(width, height, tuple(boxes.values()), arrows)


def _path(source: Box, target: Box) -> str:
    x1, y1, x2, y2 = source.x + WIDTH, source.middle, target.x, target.middle
    bend = max(20, abs(x2 - x1) // 2)
    return f"M {x1} {y1} C {x1 + bend} {y1}, {x2 - bend} {y2}, {x2} {y2}"
