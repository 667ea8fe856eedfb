"""Many images at once: which there are, what was made of each, and the tables and pages of all."""
