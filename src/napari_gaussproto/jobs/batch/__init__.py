"""Many images at once: segmented into a folder, and measured."""
