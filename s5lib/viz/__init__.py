"""The book's figures: one style, one look per method, alt text everywhere, and sliders that need no kernel.

``show`` displays a finished figure, ``explore`` one that sliders redraw. Each emits one self-contained HTML element:
images are embedded, nothing is fetched, and it reads the same on a light and on a dark page.
"""

from s5lib.config import moved
from s5lib.viz.curves import bars, learning_curve, state_heatmap, unit_disc
from s5lib.viz.page import explore, progress, show, show_source
from s5lib.viz.style import METHODS, style, use_style  # the function stands before the file of its name
from s5lib.viz.style import plt as plt

__all__ = [
    "METHODS",
    "bars",
    "explore",
    "learning_curve",
    "progress",
    "show",
    "show_source",
    "state_heatmap",
    "style",
    "unit_disc",
    "use_style",
]

__getattr__ = moved(
    __name__,
    {
        "CENTRES": "s5lib.viz.curves",
        "DPI": "s5lib.viz.embed",
        "MAX_BYTES": "s5lib.viz.embed",
        "MAX_FRAMES": "s5lib.viz.page",
        "SVG_BYTES": "s5lib.viz.embed",
        "Words": "s5lib.viz.page",
    },
)
