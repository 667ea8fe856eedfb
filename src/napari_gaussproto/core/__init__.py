"""The library: models, training, prediction and explanation, without napari and without Qt."""
