"""Fits models to what was drawn, and shows how far they are."""
