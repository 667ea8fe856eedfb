"""``python -m napari_gaussproto`` is the command line."""

from napari_gaussproto.cli import main

if __name__ == "__main__":
    main()
