"""Settings refuse what has no meaning, with one sentence."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from napari_gaussproto import (
    Augmentation,
    ModelConfig,
    NewModel,
    QuickSettings,
    SegmentationClass,
    SemiSettings,
    TrainingConfig,
)
from napari_gaussproto.core.base.errors import ConfigError

CLASSES = ["soil", "weed"]


@pytest.mark.parametrize(
    ("settings", "values", "sentence"),
    [
        (ModelConfig, {}, "ModelConfig does not set classes: add it."),
        (ModelConfig, {"classes": []}, "sets classes to []: it should have at least 2 items."),
        (ModelConfig, {"classes": "soil"}, "sets classes to 'soil': it should be a valid list."),
        (
            ModelConfig,
            {"classes": CLASSES, "scale_floor": 1},
            "scale_floor to 1: it should be less",
        ),
        (ModelConfig, {"classes": ["a", "a"]}, "class names must differ from each other."),
        (ModelConfig, {"classes": CLASSES, "downsample": 0}, "sets downsample to 0: it should be"),
        (ModelConfig, {"classes": CLASSES, "down": 2}, "sets down, which is not known: check"),
        (
            ModelConfig,
            {"classes": CLASSES, "partition": "hexagon"},
            "ModelConfig sets partition to 'hexagon': it should be 'grid' or 'superpixel'.",
        ),
        (TrainingConfig, {"steps": 0}, "sets steps to 0: it should be greater than or equal to 1."),
        (Augmentation, {"zoom": (2, 1)}, "sets zoom to (2, 1): zoom needs two factors above 0"),
        (NewModel, {"backbones": "x"}, "NewModel sets backbones, which is not known"),
        (
            QuickSettings,
            {"cells_per_class": "few"},
            "QuickSettings sets cells_per_class to 'few': it should",
        ),
        (SemiSettings, {"tau": 2}, "SemiSettings sets tau to 2: it should be less than"),
        (SegmentationClass, {"name": "a", "color": "red"}, "sets color to 'red': it should match"),
    ],
)
def test_a_wrong_setting_is_a_sentence(
    settings: Any, values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(**values)
    assert sentence in str(caught.value)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_a_long_value_is_shortened() -> None:
    with pytest.raises(ConfigError) as caught:
        ModelConfig(classes=CLASSES, downsample="x" * 1000)
    assert len(str(caught.value)) < 200


def test_settings_from_a_file_get_the_error_that_tells_the_place() -> None:
    """Readers of files name the file and the section themselves."""
    with pytest.raises(ValidationError):
        ModelConfig.model_validate({"classes": [{"name": "", "color": "#000000"}, "weed"]})
