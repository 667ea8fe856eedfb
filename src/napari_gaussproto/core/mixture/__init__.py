"""The mathematics of Gaussian prototypes: the layer, changes to it, where it starts."""
