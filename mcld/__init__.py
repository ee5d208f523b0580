"""MCLD: from a folder of fashion photographs to a trained, scored, editable model."""

__version__ = "0.1.0"
