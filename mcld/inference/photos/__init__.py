"""From a photograph to a person, and from people to conditions.

Read in this order: `photo.py` (bytes to pixels, within bounds), `finders.py` (the seam to DensePose and face
models), `window.py` (what of a photograph the model gets to see), `person.py` (what was found), `reader.py`
(the door: a photograph in, a person or a pose out) and `encode.py` (people and poses to `Conditions`).
`preparation.py` is how the pictures of a model's training were made, which own photographs must be, too.
"""
