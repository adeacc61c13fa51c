"""CPU for each answer as bars, for the README: one group for each number of upstreams."""

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as pyplot  # noqa: E402 (after the choice of what draws)

WORKS = {"n1": "1 upstream", "n10": "10 upstreams", "n50": "50 upstreams"}
OURS = ("fanoutd", "curl")
INK = "#6e7781"  # to be read on white and on black
COLOURS = {"fanoutd": "#1f9d63", "curl": "#7cc7a2", "floor": "#5b8dd6"}
OTHERS = "#c98b4a"
NO_FRAME = ("top", "right", "bottom", "left")


def label(value):
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def draw_work(axes, rows, titles, title):
    """Bars from the top, in the same order in each; a gap for whoever was not measured."""
    for place, key in enumerate(titles):
        row = rows.get(key)
        if row is None:
            axes.text(1.15, place, "–", va="center", color=INK)
            continue
        value = row.median("cpu_us")
        axes.barh(place, value - 1, left=1, height=0.7, color=COLOURS.get(key, OTHERS))
        weight = "bold" if key in OURS else "normal"
        axes.text(value * 1.15, place, label(value), va="center", color=INK, weight=weight)
    axes.set_title(title, color=INK, fontsize=11, loc="left")
    axes.set_xscale("log")
    axes.set_xlim(1, 4 * max(row.median("cpu_us") for row in rows.values()))
    axes.set_xticks([])
    axes.minorticks_off()
    axes.tick_params(length=0)
    for side in NO_FRAME:
        axes.spines[side].set_visible(False)


def draw(rows, path):
    shown = [row for row in rows if row.work.name in WORKS and row.key != "info"]
    titles = {row.key: row.title for row in shown}
    works = [name for name in WORKS if any(row.work.name == name for row in shown)]
    # Text stays text: a small file, in the reader's own font.
    pyplot.rcParams.update({"svg.fonttype": "none", "font.size": 10})
    pyplot.rcParams["font.sans-serif"] = ["DejaVu Sans", "Verdana", "Helvetica", "Arial"]
    figure, all_axes = pyplot.subplots(
        1, len(works), sharey=True, squeeze=False, figsize=(10, 0.6 + 0.34 * len(titles))
    )
    for axes, name in zip(all_axes[0], works):
        draw_work(axes, {r.key: r for r in shown if r.work.name == name}, titles, WORKS[name])
    first = all_axes[0][0]
    first.set_yticks(range(len(titles)), list(titles.values()), color=INK)
    first.invert_yaxis()
    figure.text(
        0.01, 0.01, "CPU for one answer in µs, user + system, one core; log scale", color=INK
    )
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, transparent=True, metadata={"Date": None})
    print(f"\ndrawn: {path}")
