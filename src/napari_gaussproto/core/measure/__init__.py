"""How good a segmentation is, and in what two of them differ."""
