"""Pixels: reading any array as an image, tiles, patches, masks, stored labels."""
