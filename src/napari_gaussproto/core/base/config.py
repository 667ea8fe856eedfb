"""What a model is made of and how it is trained: settings that travel in the model file."""

from __future__ import annotations

import math
import re
from reprlib import repr as short_repr
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from napari_gaussproto.core.base.errors import ConfigError

# As many as a model can have; a label is 8 bits, and 0 means not labelled.
MOST_CLASSES = 254
# Pixels of a photograph of usual size: small leaves want many, and a person does not wait for more.
# What is larger than the largest photograph is a mosaic.
PHOTO_PIXELS, LARGEST_PHOTO = 1_500_000, 64_000_000
_MOST_DOWNSAMPLE = 16
# Okabe & Ito (2008), "Color Universal Design": told apart with any colour vision; in the place of
# black, which is lost in shadows, the indigo of Paul Tol's "muted" scheme.
# Starts with the hues that read as plant, other plant, ground in field photographs.
DEFAULT_COLORS = (
    "#009e73",
    "#d55e00",
    "#56b4e9",
    "#e69f00",
    "#cc79a7",
    "#0072b2",
    "#f0e442",
    "#332288",
)
# Of the classes that most people begin with. All are seen on soil: strokes in grey were not.
SOIL_COLOR, PLANT_COLOR, WEED_COLOR = DEFAULT_COLORS[2], DEFAULT_COLORS[0], DEFAULT_COLORS[1]


class Settings(BaseModel):
    """Base of all settings: unknown keys are refused, so a typo cannot pass silently.

    Raises
    ------
    ConfigError
        For a value that has no meaning. Who reads settings from a file calls `model_validate`
        instead, and gets pydantic's own error.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    if not TYPE_CHECKING:  # the keywords are better known to type checkers without it

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise ConfigError(wrong_setting(type(self).__name__, error)) from error

        # So `model_validate` does not come here, nor do settings inside others.
        __init__.__pydantic_base_init__ = True


def wrong_setting(owner: str, error: ValidationError) -> str:
    """The first fault of settings as a sentence; the owner is their class or file."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"{owner} does not set {where}: add it."
    if first["type"] == "extra_forbidden":
        return f"{owner} sets {where}, which is not known: check its spelling and its place."
    allowed = re.sub(r"^Value error, |^\w+ (?=should )| after validation, .*", "", first["msg"])
    allowed = f"it {allowed}" if allowed.startswith("should ") else allowed
    return f"{owner} sets {where} to {short_repr(first['input'])}: {allowed}."


class SegmentationClass(Settings):
    """One class a pixel can have; its name is unique within a model, its colour ``#rrggbb``."""

    name: str = Field(min_length=1)
    color: str = Field(pattern=r"^#[0-9a-fA-F]{6}$")


def _classes_from_names(value: Any) -> Any:
    """Give plain class names the default colours, in order."""
    if not isinstance(value, list | tuple):
        return value
    return [
        {"name": entry, "color": DEFAULT_COLORS[i % len(DEFAULT_COLORS)]}
        if isinstance(entry, str)
        else entry
        for i, entry in enumerate(value)
    ]


Pooling = Literal["mask_mean", "roi_align", "masked_roi_align"]
Classes = Annotated[list[SegmentationClass], BeforeValidator(_classes_from_names)]


class ModelConfig(Settings):
    """The parts of a segmenter.

    Attributes
    ----------
    classes : list of SegmentationClass
        In order; a label value is the index + 1. Plain names are accepted.
    partition : {"grid", "superpixel"}
        How an image is cut into cells.
    backbone : str
        Any timm model that offers ``features_only``.
    pretrained : bool
        Start from ImageNet weights when the model is built for training.
    strides : tuple of int, optional
        Levels of the backbone that are used, by their stride; by default all.
    local_features : bool
        Colour, contrast and texture beside the backbone's levels; see `local_features`.
    channels : int
        Image channels.
    downsample : int
        The image is averaged over squares of this side, in pixels, before the backbone.
    photo_pixels : int, optional
        What a photograph of usual size has. Larger ones are downsampled more, so that the network
        sees their leaves in a size that it knows; see `suited_to`. By default none are, and not
        with superpixels.
    output_stride : {4, 8}
        Pixels of the downsampled image per latent position.
    follow_edges : bool
        On a grid with local features, borders between classes follow the edges of the photograph
        within a cell.
    neck : {"fused", "none"}
        "fused" projects and adds the levels; with "none" latents are the levels side by side.
    neck_channels, latent_dim : int
        Width of the fused features, and D of the latent space, which without a neck is the
        number of features.
    prototypes_per_class : int
        At the start of training; pruning and merging may leave fewer.
    region_size : int
        Superpixels only: nominal side of a region, in pixels of the original image.
    compactness : float
        Superpixels only: weight of nearness in space over nearness in colour.
    pooling : {"mask_mean", "roi_align", "masked_roi_align"}
        Superpixels only: a region's latent vector is the mean over its pixels, over its box,
        or over those sample points of its box that lie in it.
    covariance : {"diagonal", "spherical", "full"}
    learned_scale : bool
        False keeps the scales of the initialisation.
    scale_floor : float
        Smallest standard deviation, in units of the normalised latent space.
    """

    classes: Classes = Field(min_length=2, max_length=MOST_CLASSES)
    partition: Literal["grid", "superpixel"] = "grid"
    backbone: str = "tf_efficientnet_lite0"
    pretrained: bool = True
    strides: tuple[int, ...] | None = Field(None, min_length=1)
    local_features: bool = False
    channels: int = Field(3, ge=1, le=4096)
    downsample: int = Field(1, ge=1, le=_MOST_DOWNSAMPLE)
    photo_pixels: int | None = Field(None, ge=1)
    output_stride: Literal[4, 8] = 4
    follow_edges: bool = True
    neck: Literal["fused", "none"] = "fused"
    neck_channels: int = Field(64, ge=4, le=4096)
    latent_dim: int = Field(32, ge=2, le=512)
    prototypes_per_class: int = Field(5, ge=1, le=64)
    region_size: int = Field(12, ge=2, le=1024)
    compactness: float = Field(10.0, ge=1e-4, le=1e4)
    pooling: Pooling = "mask_mean"
    covariance: Literal["diagonal", "spherical", "full"] = "diagonal"
    learned_scale: bool = True
    scale_floor: float = Field(0.1, gt=0, lt=1)

    @field_validator("classes")
    @classmethod
    def _unique_names(cls, value: list[SegmentationClass]) -> list[SegmentationClass]:
        names = [c.name for c in value]
        if len(set(names)) < len(names):
            raise ValueError("class names must differ from each other")
        return value

    @model_validator(mode="after")
    def _grid_suits_itself(self) -> Self:
        if self.has_regions and self.photo_pixels is not None:
            raise ValueError("photo_pixels is for grids: leave it out for superpixels")
        return self

    @property
    def has_regions(self) -> bool:
        """Whether cells are superpixels."""
        return self.partition == "superpixel"

    @property
    def has_cell_sizes(self) -> bool:
        """Whether the size of cells can be chosen for every image anew."""
        return self.has_regions or self.photo_pixels is not None

    @property
    def nominal_size(self) -> int:
        """Side of a cell in pixels of the original image, of a superpixel about that."""
        return self.region_size if self.has_regions else self.cell_size

    def with_cell_size(self, size: int) -> ModelConfig:
        """Copy with another region size, or with the downsampling that makes cells of a size.

        Itself where regions have that size, or where the size cannot be chosen. A grid takes the
        nearest multiple of its output stride.

        Raises
        ------
        ConfigError
        """
        if not self.has_regions and self.photo_pixels is not None:
            downsample = min(_MOST_DOWNSAMPLE, max(1, round(size / self.output_stride)))
            return self.model_copy(update={"downsample": downsample, "photo_pixels": None})
        if not self.has_regions or size == self.region_size:
            return self
        try:
            return ModelConfig.model_validate(self.model_dump() | {"region_size": size})
        except ValidationError as error:
            raise ConfigError(f"Regions of {size} pixels cannot be: give 2 to 1024.") from error

    def suited_to(self, pixels: int) -> ModelConfig:
        """For an image of so many pixels: itself, or a copy that downsamples it more.

        Nothing is known of the scale of a mosaic, so that what is too large for one photograph is
        taken as it is.
        """
        if self.photo_pixels is None:
            return self
        more = 1 if pixels > LARGEST_PHOTO else shrinkage(pixels, self.photo_pixels)
        downsample = min(_MOST_DOWNSAMPLE, self.downsample * more)
        return self.model_copy(update={"downsample": downsample, "photo_pixels": None})

    @property
    def cell_size(self) -> int:
        """Pixels of the original image along the side of one grid cell."""
        return self.downsample * self.output_stride


def shrinkage(pixels: int, usual: int = PHOTO_PIXELS) -> int:
    """Side of the squares over which an image is averaged, so that about the usual pixels stay."""
    return min(_MOST_DOWNSAMPLE, max(1, round(math.sqrt(pixels / usual))))


# The shipped start, and the shipped model for photographs of which nothing is known.
FIELD = "field"
FIRST_LOOK = "plants"


class NewModel(Settings):
    """A model to begin with that knows no classes.

    Attributes
    ----------
    backbone : str
        "field" for the shipped start, whose backbone and neck were trained so that few strokes
        suffice on photographs of fields, or the name of a timm model for its features alone.
    pretrained : bool
        Take ImageNet weights for a timm model.
    downsample : int, optional
        By default as the size of the photographs wants it: the network sees 2 megapixels at most,
        or a little more.
    partition, region_size
        See `ModelConfig`.
    """

    partition: Literal["grid", "superpixel"] = "grid"
    backbone: str = FIELD
    downsample: int | None = Field(None, ge=1, le=_MOST_DOWNSAMPLE)
    region_size: int = 12
    pretrained: bool = True


class LossWeights(Settings):
    """Weight of each term of the training objective; see ``core/mixture/objective.py``.

    Attributes
    ----------
    classification : float
        Of the cross-entropy of p(c|z) with the labels.
    density : float
        Of the mean of -log p(z|y) over labelled cells, for each latent dimension.
    diversity : float
        Of the mean of exp(log BC / D) over pairs of prototypes of one class.
    """

    classification: float = Field(1.0, ge=0)
    density: float = Field(0.1, ge=0)
    diversity: float = Field(0.05, ge=0)


class Augmentation(Settings):
    """Random changes of a training crop, image and labels together.

    Attributes
    ----------
    zoom : tuple of float
        Least and greatest factor; its logarithm is drawn evenly.
    flip : bool
        Left and right, and up and down, half of the time each.
    rotation_degrees : float
        Most, either way.
    brightness, contrast, saturation : float
        A factor is drawn evenly from 1 minus to 1 plus it; saturation of colours only.
    hue : float
        Most, either way, in turns around the circle of colours.
    """

    zoom: tuple[float, float] = (0.75, 1.5)
    flip: bool = True
    rotation_degrees: float = Field(20.0, ge=0, le=180)
    brightness: float = Field(0.3, ge=0)
    contrast: float = Field(0.3, ge=0)
    saturation: float = Field(0.3, ge=0)
    hue: float = Field(0.03, ge=0, le=0.5)

    @field_validator("zoom")
    @classmethod
    def _ascending(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1]:
            raise ValueError("zoom needs two factors above 0, the smaller one first")
        return value


class TrainingConfig(Settings):
    """How a model is fitted.

    Attributes
    ----------
    steps : int
        Optimiser steps of the joint, end-to-end stage.
    batch_size, crop_size : int
        Crops a step, and their side in pixels of the downsampled image, a multiple of the
        model's output stride.
    warm_up_steps, layer_steps : int
        Steps of the two stages on cached features; these cost seconds.
    cells_per_image : int
        Labelled cells drawn from each image for those two stages, per class.
    learning_rate, backbone_learning_rate : float
        Peaks of the one-cycle schedule for neck and layer, and for the backbone.
    weight_decay : float
        Of AdamW, a step, as a share of the learning rate; prototypes do not decay.
    gradient_clip : float
        Largest norm of the gradient of all parameters together.
    ema_decay : float
        What the averaged weights keep of themselves at a step.
    class_balance : float
        Exponent of the inverse class frequency in the class weights: 0 none, 1 full.
    validate_every : int
        Joint steps between two validations.
    min_usage : float
        Share of its class below which a prototype counts as dead.
    min_hellinger : float
        Squared Hellinger distance to a sibling below which two are duplicates.
    """

    steps: int = Field(300, ge=1)
    batch_size: int = Field(6, ge=1)
    crop_size: int = Field(384, ge=64)
    warm_up_steps: int = Field(300, ge=1)
    layer_steps: int = Field(100, ge=0)
    cells_per_image: int = Field(256, ge=1)
    learning_rate: float = Field(4e-3, gt=0)
    backbone_learning_rate: float = Field(5e-4, ge=0)
    weight_decay: float = Field(1e-2, ge=0)
    gradient_clip: float = Field(1.0, gt=0)
    ema_decay: float = Field(0.99, ge=0, lt=1)
    class_balance: float = Field(0.25, ge=0, le=1)
    validate_every: int = Field(50, ge=1)
    min_usage: float = Field(0.01, ge=0, lt=1)
    min_hellinger: float = Field(0.05, ge=0, lt=1)
    loss: LossWeights = LossWeights()
    augmentation: Augmentation = Augmentation()


# Weights of the semi-supervised terms, where they are on.
TERM_WEIGHTS = {
    "density": 0.1,
    "soft_labels": 0.1,
    "pseudo_labels": 0.5,
    "affinity": 0.2,
    "anchoring": 0.01,
}
# None was measured to help with the start that new models have now.
USED_BY_DEFAULT: frozenset[str] = frozenset()
