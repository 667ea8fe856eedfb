"""A person's edits of a model, with undo, and models for changed class tables."""
