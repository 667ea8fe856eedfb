"""What several docks offer about an image: what its axes mean, how it lies, its outlines."""
