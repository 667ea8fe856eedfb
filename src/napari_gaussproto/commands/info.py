"""``napari-gaussproto info``: a model's card in the terminal."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from napari_gaussproto.commands.card import card_markdown
from napari_gaussproto.commands.results import console, say
from napari_gaussproto.core.model.summary import ModelSummary, model_path, read_summary


def run_info(model: str, *, markdown: bool = False) -> None:
    """Print name, terms, classes, prototypes and measures of a model.

    Raises
    ------
    ModelFileError
        When there is no such model or its file is damaged.
    """
    path = model_path(model)
    summary = read_summary(path)
    if markdown:
        say(card_markdown(summary).rstrip("\n"))
        return
    card, config = summary.card, summary.config
    facts = [
        card.description,
        f"{config.partition} model, {config.backbone}, {config.channels} channels, "
        f"cells of {config.cell_size} px, D = {config.latent_dim}, {config.covariance} covariance",
        f"data: {card.data}" if card.data else "",
        f"licence of the data: {card.licence}, {card.attribution}" if card.licence else "",
        f"cite: {card.citation}" if card.citation else "",
        f"made {card.created} by: {card.command}" if card.command else f"made {card.created}",
        f"file: {path} ({path.stat().st_size / 1e6:.1f} MB)",
    ]
    text = "\n".join(fact for fact in facts if fact)
    panel = Panel(escape(text), title=escape(card.name), title_align="left")
    console.print(panel, highlight=False)
    console.print(_prototypes(summary))
    if card.measures:
        console.print(_measures(card.measures))
    for warning in card.not_for:
        console.print(f"[yellow]not for[/yellow] {escape(warning)}", highlight=False)


def _prototypes(summary: ModelSummary) -> Table:
    table = Table(title="Prototypes", title_justify="left")
    for header in ("name", "class", "share of its class", "purity of its patches"):
        table.add_column(header)
    for entry in summary.prototypes:
        owner = summary.config.classes[entry["class_index"]]
        table.add_row(
            escape(str(entry["name"])),
            f"[{owner.color}]■[/] {escape(owner.name)}",
            _percent(entry["usage"]),
            _percent(entry["purity"]),
        )
    return table


def _measures(measures: dict[str, Any]) -> Table:
    table = Table(title="Measures", title_justify="left")
    names = list(next(iter(measures.values()))["iou"])
    for header in ("split", "images", "mean IoU", *map(escape, names), "ECE"):
        table.add_column(header)
    for split, values in measures.items():
        ious = [values["iou"].get(name) for name in names]
        cells = [values["miou"], *ious, values["ece"]]
        table.add_row(
            split,
            str(values["images"]),
            *("–" if value is None else f"{value:.3f}" for value in cells),
        )
    return table


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
