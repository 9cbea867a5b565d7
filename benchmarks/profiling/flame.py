"""Stacks into a flame graph: one SVG file with nothing outside it, to be zoomed and searched in any browser.

Width is the share of samples, the root is at the bottom, and the order of siblings is alphabetical: it means nothing.
Colours say whose code it is (`symbols.OWNERS`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape

from benchmarks.profiling.symbols import OWNERS, Frame

WIDTH = 1_600
ROW = 17
TOP, BOTTOM = 64, 34
WIDTH_MIN = 0.4
"""Pixels below which a frame is left out: nobody could see or hit it."""
CHARACTER = 6.6
"""Pixels of one character, about."""

COLOURS = dict(zip(OWNERS, ("#d9863d", "#5b9e6f", "#b7b04a", "#6b8fc4", "#a9778f", "#9a9a9a"), strict=True))


@dataclass(slots=True)
class Node:
    """A frame below its callers."""

    frame: Frame
    samples: int = 0
    callees: "dict[Frame, Node]" = field(default_factory=dict)

    def add(self, stack: tuple[Frame, ...], samples: int) -> None:
        """Count a stack, root first, below this frame."""
        node = self
        node.samples += samples
        for frame in stack:
            node = node.callees.setdefault(frame, Node(frame))
            node.samples += samples

    def depth(self) -> int:
        """Rows that it takes."""
        return 1 + max((callee.depth() for callee in self.callees.values()), default=0)


def svg(stacks: Mapping[tuple[Frame, ...], int], title: str, note: str) -> str:
    """Draw stacks (root first) with their samples."""
    root = Node(Frame("all", "other"))
    for stack, samples in stacks.items():
        root.add(stack, samples)
    if not root.samples:
        raise ValueError("there are no samples to draw")
    height = TOP + BOTTOM + ROW * root.depth()
    parts = [_head(title, note, height), _legend()]
    for node, left, row in _places(root):
        parts.append(_drawn(node, left, height - BOTTOM - ROW * (row + 1), root.samples))
    parts.append("</g></svg>\n")
    return "".join(parts)


def _places(node: Node, before: int = 0, row: int = 0) -> Iterator[tuple[Node, int, int]]:
    """Yield every frame with the samples to its left, and its row."""
    yield node, before, row
    for callee in sorted(node.callees.values(), key=lambda each: each.frame):
        yield from _places(callee, before, row + 1)
        before += callee.samples


def _drawn(node: Node, before: int, top: int, total: int) -> str:
    width = WIDTH * node.samples / total
    if width < WIDTH_MIN:
        return ""
    left = WIDTH * before / total
    name = escape(node.frame.name, quote=True)
    words = f"{name} — {node.samples:,} samples, {100 * node.samples / total:.2f} %"
    shown = int((width - 4) / CHARACTER)
    label = escape(node.frame.name if len(node.frame.name) <= shown else node.frame.name[: shown - 1] + "…")
    return (
        f'<g class="f" data-n="{name}" data-x="{left / WIDTH:.7f}" data-w="{width / WIDTH:.7f}"><title>{words}</title>'
        f'<rect x="{left:.2f}" y="{top}" width="{width:.2f}" height="{ROW - 1}" fill="{COLOURS[node.frame.owner]}"/>'
        f'<text x="{left + 2:.2f}" y="{top + 12}">{label if shown > 2 else ""}</text></g>\n'
    )


def _legend() -> str:
    parts = ['<g class="legend">']
    for place, owner in enumerate(OWNERS):
        left = 8 + 150 * place
        parts.append(
            f'<rect x="{left}" y="42" width="12" height="12" fill="{COLOURS[owner]}"/>'
            f'<text x="{left + 17}" y="52">{owner}</text>'
        )
    return "".join(parts) + "</g>\n"


def _head(title: str, note: str, height: int) -> str:
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="100%" onload="begin()">
<style>
text {{ font: 11px monospace; fill: #111 }} .t {{ font: bold 15px sans-serif }} .n {{ font: 12px sans-serif }}
.f {{ cursor: pointer }} .f:hover rect {{ stroke: #000; stroke-width: 0.6 }} .found rect {{ fill: #e14fd0 }}
.above rect {{ opacity: 0.45 }}
</style>
<script><![CDATA[{SCRIPT}]]></script>
<rect width="{WIDTH}" height="{height}" fill="#fbfaf7"/>
<text class="t" x="8" y="19">{escape(title)}</text>
<text class="n" x="8" y="35">{escape(note)} Click: zoom; Esc: whole; / or Ctrl-F: search.</text>
<text class="n" id="found" x="{WIDTH - 8}" y="19" text-anchor="end"></text>
<g id="frames">
"""


SCRIPT = f"""
const WIDTH = {WIDTH}, LEAST = {WIDTH_MIN}, CHARACTER = {CHARACTER};
let frames;
function begin() {{
  frames = Array.from(document.querySelectorAll(".f"), g => ({{
    g, name: g.dataset.n, x: +g.dataset.x, w: +g.dataset.w,
    rect: g.querySelector("rect"), text: g.querySelector("text"),
  }}));
  for (const f of frames) f.g.addEventListener("click", () => zoom(f));
  addEventListener("keydown", e => {{
    if (e.key === "Escape") {{ zoom(frames[0]); search(""); }}
    else if (e.key === "/" || (e.key === "f" && (e.ctrlKey || e.metaKey))) {{
      e.preventDefault();
      search(prompt("Names that match the regular expression:") || "");
    }}
  }});
}}
function zoom(to) {{
  for (const f of frames) {{
    const inside = f.x >= to.x - 1e-7 && f.x + f.w <= to.x + to.w + 1e-7;
    const above = !inside && f.x <= to.x + 1e-7 && f.x + f.w >= to.x + to.w - 1e-7;
    const x = above ? 0 : (f.x - to.x) / to.w * WIDTH, w = above ? WIDTH : f.w / to.w * WIDTH;
    f.g.style.display = (inside || above) && w >= LEAST ? "" : "none";
    f.g.classList.toggle("above", above);
    f.rect.setAttribute("x", x); f.rect.setAttribute("width", Math.max(w, 0));
    f.text.setAttribute("x", x + 2);
    const shown = Math.floor((w - 4) / CHARACTER);
    f.text.textContent = shown < 3 ? "" : f.name.length <= shown ? f.name : f.name.slice(0, shown - 1) + "…";
  }}
}}
function search(pattern) {{
  const wanted = pattern && new RegExp(pattern);
  const hits = [];
  for (const f of frames) {{
    const hit = Boolean(wanted) && wanted.test(f.name);
    f.g.classList.toggle("found", hit);
    if (hit) hits.push(f);
  }}
  // Of frames within each other the widest counts, once.
  hits.sort((a, b) => a.x - b.x || b.w - a.w);
  let sum = 0, end = -1;
  for (const f of hits) if (f.x >= end - 1e-7) {{ sum += f.w; end = f.x + f.w; }}
  document.getElementById("found").textContent = wanted ? (100 * sum).toFixed(2) + " % match" : "";
}}
"""
