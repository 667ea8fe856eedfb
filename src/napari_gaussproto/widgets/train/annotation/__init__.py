"""What a person draws: the annotation layers of all images, kept in step."""
