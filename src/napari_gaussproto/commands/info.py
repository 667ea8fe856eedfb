"""``napari-gaussproto info``: a model's card in the terminal."""

from __future__ import annotations

from rich.markdown import Markdown
from rich.text import Text

from napari_gaussproto.commands.results import console, say
from napari_gaussproto.core.model.card import card_markdown
from napari_gaussproto.core.model.summary import model_path, read_summary


def run_info(model: str, *, markdown: bool = False) -> None:
    """Print what a model says about itself, and where its file is; or its card for a page.

    Raises
    ------
    ModelFileError
        When there is no such model or its file is damaged.
    """
    path = model_path(model)
    summary = read_summary(path)
    text = card_markdown(summary)
    if markdown:
        say(text.rstrip("\n"))
        return
    console.print(Markdown(text))
    classes = [Text(f"■ {entry.name}", entry.color) for entry in summary.config.classes]
    console.print(Text("\n") + Text("  ").join(classes))
    say(f"file: {path} ({path.stat().st_size / 1e6:.1f} MB)")
