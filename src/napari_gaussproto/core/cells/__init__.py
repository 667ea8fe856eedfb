"""How an image is cut into cells, grid or superpixels, and the way back."""
