"""DensePose in plain PyTorch: which body part each pixel of a person shows, and where on that part.

Read in this order: `preprocess.py` (pixels in), `backbone.py` (features), `proposals.py` (where anything may
be), `box_head.py` (who is a person), `chart_head.py` (the person's charts), `canvas.py` (IUV map out);
`boxes.py` and `roi_align.py` are what detection is made of. `network.py` puts the modules together,
`weights.py` loads them and `people.py` is the door.
"""

from mcld.conditions.densepose.canvas import UvOverflow
from mcld.conditions.densepose.network import DensePoseNetwork
from mcld.conditions.densepose.people import (
    People,
    PersonChoice,
    best_iuv,
    find_people,
    find_people_in_resized,
    iuv_of,
)
from mcld.conditions.densepose.preprocess import network_size, resize
from mcld.conditions.densepose.weights import (
    check_weights_file,
    import_densepose,
    load_densepose,
    network_of,
)

__all__ = [
    "DensePoseNetwork",
    "People",
    "PersonChoice",
    "UvOverflow",
    "best_iuv",
    "check_weights_file",
    "find_people",
    "find_people_in_resized",
    "import_densepose",
    "iuv_of",
    "load_densepose",
    "network_of",
    "network_size",
    "resize",
]
