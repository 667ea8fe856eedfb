"""From pixels to latent vectors: backbone, neck, and how far they look."""
