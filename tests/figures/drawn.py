"""What is on an Axes."""


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
