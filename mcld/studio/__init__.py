"""The studio: a page on the service, where a trained model is tried out.

`page/` is HTML, CSS and scripts as a browser takes them; `examples.py` are people and poses to begin with,
`app.py` lays both onto the service.
"""
