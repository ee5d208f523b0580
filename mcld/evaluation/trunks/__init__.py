"""Networks behind the metrics that compare features: Inception-v3, AlexNet and SqueezeNet, and LPIPS.

They load the files that everyone uses, by path, and check them; torchvision, torch-fidelity and lpips are not
needed (torchvision's presence breaks other packages beside a CPU torch). `inputs.py` says what each protocol
feeds them.
"""

from mcld.evaluation.trunks.inception import Inception, Layout, load_inception
from mcld.evaluation.trunks.inputs import prepare_a, prepare_clean_fid, prepare_fid, prepare_lpips
from mcld.evaluation.trunks.lpips import Lpips, Network, load_lpips

__all__ = [
    "Inception",
    "Layout",
    "Lpips",
    "Network",
    "load_inception",
    "load_lpips",
    "prepare_a",
    "prepare_clean_fid",
    "prepare_fid",
    "prepare_lpips",
]
