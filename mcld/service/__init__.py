"""The engine over HTTP: the one web layer, for programs and for the studio's page.

Read in this order: `limits.py` (how much of everything), `shelf.py` (photographs in memory), `jobs.py` and
`queue.py` (one thread does all the model's work), `desk.py` (what requests share, and how photographs come
onto the shelf), `schemas.py` (requests and answers), `photos.py`, `views.py`, `renders.py` (the addresses),
`access.py` (who may ask) and `app.py` and `run.py`, which put it together and serve it.

Nothing that a user sends is ever written to a disk.
"""
