"""A model's card as Markdown, from what its file says: the text beside a shipped model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from napari_gaussproto.core.model.summary import ModelSummary


def card_markdown(summary: ModelSummary) -> str:
    """Everything that a model file says about its model, for a page or a repository.

    Parameters
    ----------
    summary : ModelSummary
        See `napari_gaussproto.core.model.summary.read_summary`.

    Returns
    -------
    str
        Markdown that ends with a newline.
    """
    card = summary.card
    sections = [
        f"# {card.name}",
        card.description,
        _section("Classes", _classes(summary)),
        _section("Not for", _list(card.not_for)),
        _section("How good it is", _measures(card.measures)),
        _section("Training data", _data(summary)),
        _section("How it was made", _making(summary)),
        _section("Prototypes", _prototypes(summary)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _list(entries: Iterable[str]) -> str:
    return "\n".join(f"- {entry}" for entry in entries)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    """Text that cannot end a table's cell."""
    return text.replace("|", "\\|").replace("\n", " ")


def _classes(summary: ModelSummary) -> str:
    rows = [
        [str(c + 1), entry.name, f"`{entry.color}`"]
        for c, entry in enumerate(summary.config.classes)
    ]
    return _table(["label", "class", "colour"], rows)


def _measures(measures: dict[str, Any]) -> str:
    if not measures:
        return ""
    names = list(next(iter(measures.values()))["iou"])
    header = ["split", "images", "mean IoU", *(f"IoU {name}" for name in names)]
    rows = [
        [
            split,
            str(values["images"]),
            _number(values["miou"]),
            *(_number(values["iou"].get(name)) for name in names),
            _number(values.get("accuracy")),
            _number(values["ece"]),
        ]
        for split, values in measures.items()
    ]
    table = _table([*header, "accuracy", "calibration error"], rows)
    return (
        f"{table}\n\nOver all labelled pixels of a split. The calibration error is the expected "
        "one (ECE, 15 bins) of the predicted class."
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _data(summary: ModelSummary) -> str:
    card = summary.card
    facts = [card.data]
    if card.licence:
        facts.append(f"Licence of the data: {card.licence}. {card.attribution}".strip())
        if summary.prototypes:
            facts.append(
                "The file contains small patches of the training images, which stay under that "
                "licence."
            )
    if card.citation:
        facts.append(f"Cite: {card.citation}")
    return "\n\n".join(fact for fact in facts if fact)


def _making(summary: ModelSummary) -> str:
    card, config = summary.card, summary.config
    facts = [
        f"{config.partition} partition, backbone {config.backbone}, {config.channels} channels, "
        f"images shrunk {config.downsample}-fold, cells of {config.cell_size} px, "
        f"D = {config.latent_dim}, {config.covariance} covariance",
    ]
    facts += [_event(event) for event in card.history]
    if card.command:
        facts.append(f"`{card.command}`")
    facts.append(f"made {card.created}")
    if card.package_versions:
        versions = ", ".join(f"{name} {v}" for name, v in card.package_versions.items())
        facts.append(f"with {versions}")
    return _list(facts)


def _event(event: dict[str, Any]) -> str:
    """An entry of the card's history: what was done, and its plain settings."""
    what = str(event.get("what", "edit"))
    plain = {
        key: value
        for key, value in event.items()
        if key not in ("what", "when") and isinstance(value, str | int | float)
    }
    settings = ", ".join(
        f"{key.replace('_', ' ')} " + (f"{value:.4g}" if isinstance(value, float) else str(value))
        for key, value in plain.items()
    )
    return f"{what}: {settings}" if settings else what


def _prototypes(summary: ModelSummary) -> str:
    classes = summary.config.classes
    rows = [
        [
            str(entry["name"]),
            classes[entry["class_index"]].name,
            _percent(entry["usage"]),
            _percent(entry["purity"]),
        ]
        for entry in summary.prototypes
    ]
    if not rows:
        return ""
    return _table(["name", "class", "share of its class", "purity of its patches"], rows)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
