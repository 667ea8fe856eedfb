"""Open napari with the plugin's docks, from the command line."""

from __future__ import annotations


def show_demo(sample: str, model: str, device: str) -> None:
    """Show a bundled photograph, segment it in the dock, and wait until napari is closed."""
    import napari

    from napari_gaussproto.io.samples import open_photo
    from napari_gaussproto.widgets.prototypes.dock import PrototypesWidget
    from napari_gaussproto.widgets.segment.dock import SegmentWidget

    viewer = napari.Viewer()
    for data, options, kind in open_photo(sample):
        viewer.add_layer(napari.layers.Layer.create(data, options, kind))
    dock = SegmentWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Segment", area="right")
    prototypes = PrototypesWidget(viewer)
    viewer.window.add_dock_widget(prototypes, name="Prototypes", area="right", tabify=True)
    dock.parent().raise_()  # the tab added last would cover it
    dock.choose(model=model, device=device)
    dock.run()
    napari.run()
