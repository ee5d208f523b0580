"""Who is in the picture: find faces, take the biggest, and turn it into an identity vector.

Read in this order: `recogniser.py` is the seam, `find.py` what is done through it; two recognisers fit it,
`insightface_recogniser.py` and `opencv_recogniser.py`. `onnx_files.py` and `pack.py` look at model files
before any library does, and `models.py` is the door: it finds, checks and loads them.

Licences: insightface's code is MIT, all its models are for non-commercial research. OpenCV's models are free:
YuNet is MIT, SFace Apache-2.0.
"""

from mcld.conditions.face.find import FaceCrop, FoundFace, biggest_face, embed_crops, find_faces
from mcld.conditions.face.models import FaceModels, load_recogniser, opencv_models, pack_models
from mcld.conditions.face.recogniser import ALIGNED_PX, Detections, FaceRecogniser

__all__ = [
    "ALIGNED_PX",
    "Detections",
    "FaceCrop",
    "FaceModels",
    "FaceRecogniser",
    "FoundFace",
    "biggest_face",
    "embed_crops",
    "find_faces",
    "load_recogniser",
    "opencv_models",
    "pack_models",
]
