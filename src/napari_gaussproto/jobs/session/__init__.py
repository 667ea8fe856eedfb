"""The session of a project: images that are read again, and what a viewer showed."""
