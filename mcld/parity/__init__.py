"""Compare what we compute with folders of recorded tensors: is this still the published model?

    for row in check_model(directory): print(describe(row))

`golden.py` reads a folder, `forward.py`, `sampling.py`, `loss.py`, `gradients.py` and `loss_only.py` compare,
`table.py` shows. `densepose.py` compares DensePose with detectron2. Nothing here is needed to train or to
generate.
"""

from mcld.parity.model import check_model
from mcld.parity.rows import Row, relative_error
from mcld.parity.table import describe, heading, summarise

__all__ = ["Row", "check_model", "describe", "heading", "relative_error", "summarise"]
