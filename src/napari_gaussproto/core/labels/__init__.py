"""A person's labels: class tables, strokes, corrections, masks; needs no torch."""
