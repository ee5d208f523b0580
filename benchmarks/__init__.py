"""Measurements: one JSON line a result, nothing asserted."""
