"""Results as napari layers: where they lie, how they look, how they follow the model."""
