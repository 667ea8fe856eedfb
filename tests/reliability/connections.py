"""Notes and refuses every attempt to reach a network, in this process.

    python -m tests.reliability.connections FOLDER

works through the library, in a process that notes them from before the first import on. It prints,
as JSON, what was tried, and then what by the one thing that may connect: a new model with a
network whose weights come from a hub.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_EVENTS = (
    *("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"),
    *("socket.gethostbyname", "socket.gethostbyaddr", "urllib.Request"),
)
_FAR = (socket.AF_INET, socket.AF_INET6)
HUB = "resnet18"
# A hook stays in a process for good, so there is one, which looks while this is a list.
_seen: list[str] | None = None


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None or event not in _EVENTS:
        return
    first = arguments[0]
    if isinstance(first, socket.socket) and first.family not in _FAR:
        return  # between processes of this computer, as those of a screen are
    _seen.append(f"{event} {arguments!r:.200}")
    # No OSError: the hub would try it again for a minute.
    raise RuntimeError("there is no network here")


sys.addaudithook(_look)


@contextmanager
def refused() -> Iterator[list[str]]:
    """Refuse connections; the attempts, as they come."""
    global _seen
    _seen = seen = []
    try:
        yield seen
    finally:
        _seen = None


def library(folder: Path) -> dict[str, Any]:
    """Every public name, all shipped models, every kind of fit, and two commands."""
    with refused() as usual:
        import torch
        from PIL import Image

        import napari_gaussproto as package
        from napari_gaussproto.cli import app
        from tests.core.builders import TINY_BACKBONE, tiny_config, tiny_training, two_tone

        torch.set_num_threads(1)
        (image, labels), models = two_tone(), package.list_models()
        for name in package.__all__:
            getattr(package, name)
        for name in models:
            package.segment(image, package.load_model(name, "cpu")).novelty()
        own = package.NewModel(backbone=TINY_BACKBONE, pretrained=False, downsample=1)
        for start in (package.NewModel(), package.NewModel(backbone="tf_efficientnet_lite0"), own):
            model = package.quick_fit(image, labels, start, device="cpu")
        package.explain(package.segment(image, model), 20, 20)
        package.fine_tune(image, labels, model, steps=2, device="cpu")
        package.fit([image], [labels], tiny_config(), training=tiny_training(), device="cpu")
        file, photo = package.save_model(model, folder / "model"), folder / "photo.png"
        Image.fromarray(image).save(photo)
        for words in (["info", file], ["predict", photo, "--out", folder / "out"]):
            app([str(word) for word in words], standalone_mode=False)
    sentence = ""
    with refused() as hub:
        try:
            package.quick_fit(image, labels, package.NewModel(backbone=HUB), device="cpu")
        except package.GaussProtoError as error:
            sentence = str(error)
    covers = (folder / "out" / "cover.csv").read_text()
    return {"models": models, "usual": usual, "hub": hub, "sentence": sentence, "covers": covers}


if __name__ == "__main__":
    print(json.dumps(library(Path(sys.argv[1]))))
