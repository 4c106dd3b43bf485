"""One style for all figures of the book, and one look per method."""

from typing import TYPE_CHECKING, Any

from s5lib.config import check_choice, require
from s5lib.memory import KINDS

plt: Any = require("matplotlib.pyplot", "viz")

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
else:
    Axes, Figure, AxesImage = plt.Axes, plt.Figure, plt.matplotlib.image.AxesImage

__all__ = ["METHODS", "Axes", "AxesImage", "Figure", "plt", "style", "use_style"]

# The memories look as their list says; what they are compared with is dashed.
METHODS: dict[str, dict[str, Any]] = {
    **{kind.name: {"color": kind.colour, "linestyle": kind.linestyle, "label": kind.label} for kind in KINDS},
    "lstm-open": {"color": "#8C4A91", "linestyle": (0, (1, 1)), "label": "LSTM, gate open"},  # with a large forget_bias
    "optimal": {"color": "#222222", "linestyle": "--", "label": "optimal"},
    "random": {"color": "#8A6D3B", "linestyle": "--", "label": "random"},
}


def use_style() -> None:
    """Set matplotlib's defaults for the book: 6.4 inches wide, 12 point type, opaque white ground.

    Example:
        >>> use_style()
        >>> plt.rcParams["figure.figsize"], plt.rcParams["font.size"]
        ([6.4, 3.6], 12.0)

    """
    settings = {
        "figure.figsize": (6.4, 3.6),
        "figure.facecolor": "white",
        "figure.constrained_layout.use": True,
        "savefig.facecolor": "white",
        "font.size": 12,
        "axes.titlesize": 12,
        "axes.labelsize": 12,
        "xtick.labelsize": 11,
        "ytick.labelsize": 11,
        "legend.fontsize": 11,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#E4E4E4",
        "grid.linewidth": 0.8,
        "lines.linewidth": 2,
        "image.cmap": "viridis",
        "svg.fonttype": "path",
        "svg.hashsalt": "s5lib",
        "axes.prop_cycle": plt.cycler(color=[kind.colour for kind in KINDS]),
    }
    plt.rcParams.update(settings)


def style(method: str, **overrides: Any) -> dict[str, Any]:
    """Return the colour, line style and label that a method has in every figure of the book.

    Args:
        method: a key of ``METHODS``.
        overrides: matplotlib line properties to add or replace.
    Raises:
        ValueError: the method has no style.
    Example:
        >>> style("gru", linewidth=1)
        {'color': '#D95F02', 'linestyle': '-.', 'label': 'GRU', 'linewidth': 1}

    """
    return {**METHODS[check_choice("method", method, list(METHODS))], **overrides}
