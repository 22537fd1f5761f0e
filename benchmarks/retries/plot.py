"""The picture of an outage and its recovery, as SVG: requests and good answers a second, a line a policy."""

from __future__ import annotations

from typing import Any

WIDTH, HEIGHT, LEFT, TOP = 760, 190, 56, 28
COLOURS = ("#0b6e4f", "#777777", "#c0392b", "#8e44ad", "#d68910", "#b7950b", "#2471a3", "#17a589")


def drawn(runs: dict[str, dict[str, Any]]) -> str:
    """policy → what ``load.Crowd.described`` says of the scenario "recovery"."""
    panels = (("requests a second", "requests_each_second"), ("good answers a second", "goodput_each_second"))
    height = len(panels) * (HEIGHT + 2 * TOP) + 20 * ((len(runs) + 3) // 4)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for place, (title, member) in enumerate(panels):
        parts += panel(title, {name: run[member] for name, run in runs.items()}, TOP + place * (HEIGHT + 2 * TOP))
    for place, name in enumerate(runs):
        x, y = LEFT + 170 * (place % 4), len(panels) * (HEIGHT + 2 * TOP) + 20 * (place // 4)
        parts.append(f'<rect x="{x}" y="{y}" width="14" height="3" fill="{COLOURS[place]}"/>')
        parts.append(f'<text x="{x + 18}" y="{y + 6}">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def panel(title: str, lines: dict[str, list[int]], top: int) -> list[str]:
    seconds = max(map(len, lines.values()))
    highest = max(max(line) for line in lines.values())

    def at(second: float, value: float) -> str:
        x = LEFT + (WIDTH - LEFT - 12) * second / seconds
        return f"{x:.1f},{top + HEIGHT * (1 - value / highest):.1f}"

    (left, bottom), (right, _) = (at(place, 0).split(",") for place in (0, seconds))
    parts = [
        f'<text x="{LEFT}" y="{top - 10}" font-weight="bold">{title}; the server is out from second 5 to 35</text>',
        f'<line x1="{left}" y1="{bottom}" x2="{right}" y2="{bottom}" stroke="#333"/>',
        f'<text x="{LEFT - 6}" y="{top + 8}" text-anchor="end">{highest:,}</text>',
        f'<text x="{LEFT - 6}" y="{float(bottom):.0f}" text-anchor="end">0</text>',
    ]
    parts += [
        f'<text x="{at(second, 0).split(",")[0]}" y="{float(bottom) + 14:.0f}" text-anchor="middle">{second}</text>'
        for second in range(0, seconds + 1, 5)
    ]
    # Ours comes first and is drawn last, above the others.
    for place, line in reversed(list(enumerate(lines.values()))):
        points = " ".join(at(second + 0.5, value) for second, value in enumerate(line))
        width = 2.5 if place == 0 else 1.3
        parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[place]}" stroke-width="{width}"/>')
    return parts
