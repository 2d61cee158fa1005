"""What is on an Axes, and every figure there is."""

from itertools import product

from matplotlib.colors import to_hex
from matplotlib.text import Text

import eie_sim as es
from eie_sim.prune.accuracy_table import AccuracyRecord
from eie_sim.prune.sensitivity import Sensitivity
from eie_sim.units.nm.published import products

ACCURACIES = [
    AccuracyRecord(
        pattern=pattern,
        schedule=schedule,
        regulariser=penalty,
        asked=density,
        kept=(round(100 * density),),
        total=(100,),
        correct_untrained=50,
        correct=90 + at,
        n_sample=100,
        cost=100 * density + at,
    )
    for at, (pattern, density, schedule, penalty) in enumerate(
        product(("element", "balanced"), (0.1, 0.5), ("one-shot", "iterative"), ("L1",))
    )
]


def labels(axes):
    """Texts of the legend."""
    return axes.get_legend_handles_labels()[1]


def line(axes, label):
    """The data of the line with a label: x, y."""
    found = next(one for one in axes.lines if one.get_label() == label)
    return found.get_xdata(), found.get_ydata()


def texts(axes):
    """Everything written on an Axes."""
    return [text.get_text() for text in axes.texts]


def everything(matrix, activity, result, designs, weights):
    """Every figure once, with its name."""
    f, report = es.figures, es.energy.account(result)
    eie = [row for row in designs if row["unit"] == "eie"]
    drawn = {
        "classes": lambda a: f.classes({"fc1": result.stats["classes"]}, a, config_hash=result.config_hash),
        "energy": lambda a: f.energy({"fc1": report.by_component}, a, config_hash=result.config_hash),
        "storage": lambda a: f.storage({"fc1": {"weights": 8}}, a, config_hash=result.config_hash),
        "sensitivity": lambda a: f.sensitivity(
            [Sensitivity("fc1", 0.5, 0.5, 50, 0.9, 120.0)], a, config_hash=result.config_hash
        ),
        "batches": lambda a: f.batches(
            [{"name": "2:4", "unit": "nm", "batch": 1, "time_us": 2.0}], a, config_hash=result.config_hash
        ),
        "accuracy": lambda a: f.accuracy(ACCURACIES, a, config_hash=result.config_hash),
        "footprint": lambda a: f.footprint(es.footprint(matrix), a, config_hash=result.config_hash),
        "roofline": lambda a: f.roofline({"fc1": result}, a, config_hash=result.config_hash),
        "spy": lambda a: f.spy(matrix, a, config_hash=result.config_hash),
        "weights": lambda a: f.weights(weights, weights, a, config_hash=result.config_hash),
        "occupancy": lambda a: f.occupancy(activity, a),
        "queues": lambda a: f.queues(activity, a),
        "sparsity": lambda a: f.sparsity(designs, a),
        "balance": lambda a: f.balance(eie, a),
        "scaling": lambda a: f.scaling(eie, a),
        "pareto": lambda a: f.pareto(eie, axes=a),
        "widths": lambda a: f.widths(eie, a),
        "parity": lambda a: f.parity(products(), a, config_hash=result.config_hash),
    }
    assert {*drawn} == {*f.__all__} - {"COLOURS", "save", "svg"}
    return drawn.items()


def require_legible(figure):
    """Text of 8 points at least, all of it on the canvas, and in no legend two entries of one colour."""
    figure.draw_without_rendering()
    shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    away = [text for axes in figure.axes for text in _beyond(axes)]
    for text in (text for text in shown if text not in away):
        assert text.get_fontsize() >= 8, text
        box = text.get_window_extent()
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1
        assert inside, text
    for axes in figure.axes:
        if axes.get_legend() is not None:
            colours = [_colour(handle) for handle in axes.get_legend().legend_handles]
            assert len({*colours}) == len(colours), axes.get_legend().get_texts()


def _beyond(axes):
    """Labels of ticks that are not drawn, because they lie outside what an axis shows."""
    found = []
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        away = [tick for tick in (*axis.majorTicks, *axis.minorTicks) if not low <= tick.get_loc() <= high]
        found += [label for tick in away for label in (tick.label1, tick.label2)]
    return found


def _colour(handle):
    if hasattr(handle, "get_facecolors"):
        return to_hex(handle.get_facecolors()[0], keep_alpha=True)
    if hasattr(handle, "get_facecolor"):
        return to_hex(handle.get_facecolor(), keep_alpha=True)
    return to_hex(handle.get_color(), keep_alpha=True)
