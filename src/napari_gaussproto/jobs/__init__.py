"""What threads do for the docks: generators on plain data; they know neither Qt nor napari."""
