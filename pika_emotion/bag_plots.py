"""Draws what ``bag stats --plots`` writes. Needs matplotlib, the extra ``plots``."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pika_emotion.bag_measures import PERIODS, Summary
from pika_emotion.plots import save

mpl.use("Agg")


def write(folder: Path, summary: Summary) -> list[Path]:
    """Write ``labels.png`` and ``latency.png`` into a folder; return their paths.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    return save(folder, {"labels.png": _labels(summary), "latency.png": _latency(summary)})


def _labels(summary: Summary) -> Figure:
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.add_subplot()
    starts = np.arange(PERIODS) * summary.period_s
    below = np.zeros(PERIODS)
    colors = mpl.colormaps["tab20"]
    for place, (name, _) in enumerate(summary.labels.most_common()):
        heights = np.array([summary.labels_over_time[i, name] for i in range(PERIODS)], float)
        axes.bar(
            starts,
            heights,
            width=summary.period_s or 1.0,
            bottom=below,
            align="edge",
            label=name,
            color=colors(place % 20),
        )
        below += heights
    axes.set_xlabel("seconds after the bag's first message")
    axes.set_ylabel("tags")
    if summary.labels:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _latency(summary: Summary) -> Figure:
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for source, latencies in sorted(summary.latencies.items()):
        middles, counts = zip(*latencies.counts(), strict=True)
        axes.hist(middles, bins=_edges(summary), weights=counts, histtype="step", label=source)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("from the reply's receipt to its tag, ms")
    axes.set_ylabel("tags")
    if summary.latencies:
        axes.legend()
    return figure


def _edges(summary: Summary) -> list[float]:
    """Return the edges of 50 bins, equal on a logarithmic scale, that hold all latencies."""
    middles = [ms for latencies in summary.latencies.values() for ms, _ in latencies.counts()]
    edges: list[float] = np.geomspace(0.98 * min(middles), 1.02 * max(middles), 51).tolist()
    return edges
