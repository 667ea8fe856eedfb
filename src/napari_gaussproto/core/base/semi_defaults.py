"""Weights of the semi-supervised terms, where they are on; needs no torch."""

from __future__ import annotations

TERM_WEIGHTS = {
    "density": 0.1,
    "soft_labels": 0.1,
    "pseudo_labels": 0.5,
    "affinity": 0.2,
    "anchoring": 0.01,
}
# Those that were measured to help (python -m benchmarks.loop).
USED_BY_DEFAULT: frozenset[str] = frozenset({"soft_labels"})
