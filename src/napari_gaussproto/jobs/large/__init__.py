"""Large images, whose labels fill in tile by tile while a person looks at them."""
