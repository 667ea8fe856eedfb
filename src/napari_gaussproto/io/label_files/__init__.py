"""Label images in the formats of other programs: pictures, pyramids and polygons."""
