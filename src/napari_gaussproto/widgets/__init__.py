"""Docks for napari; everything they compute is in ``core``."""
