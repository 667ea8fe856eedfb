"""Photographs of a field: soil, plants with their shadows, light, and what the camera adds."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy.special import expit

from .litter import scatter
from .noise import Plane, fractal, smooth
from .world import Camera, Field, Light, places

Photo = NDArray[np.uint8]
Mask = NDArray[np.uint8]
Resampling = Image.Resampling
MOST_ENLARGED = 1.6


def soil(rng: np.random.Generator, field: Field, height: int, width: int) -> Plane:
    """The ground (H, W, 3) without plants."""
    sun = field.light.sun
    image = field.grounds[0].paint(rng, height, width, sun)
    if len(field.grounds) > 1:
        edge = field.edge * (fractal(rng, height, width, field.patch) + rng.normal(0, 0.5))
        mix = expit(edge)[..., None]
        image = image * (1 - mix) + field.grounds[1].paint(rng, height, width, sun) * mix
    if field.furrows:
        y, x = np.mgrid[:height, :width].astype(np.float32)
        across = y * np.cos(field.sowing.angle) - x * np.sin(field.sowing.angle)
        image *= 1 + field.furrows * np.sin(2 * np.pi * across / field.sowing.pitch)[..., None]
    image = np.ascontiguousarray(image, np.float32)
    scatter(rng, image, field.litter, sun)
    return image


def turned(rng: np.random.Generator, plant: Image.Image, size: float) -> Image.Image:
    """A plant in a size in pixels, mirrored or not, at any angle."""
    scale = min(size / max(plant.size), MOST_ENLARGED)
    shape = [max(2, round(side * scale * rng.uniform(0.9, 1.1))) for side in plant.size]
    plant = plant.resize((shape[0], shape[1]), Resampling.BICUBIC, reducing_gap=2)
    if rng.random() < 0.5:
        plant = plant.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return plant.rotate(rng.uniform(0, 360), Resampling.BICUBIC, expand=True)


def shade(image: Plane, plant: Image.Image, top: int, left: int, size: float, light: Light) -> None:
    """Darken an image (H, W, 3) where the shadow of a plant falls, in place."""
    pad = int(3 * light.softness) + 1
    wide = Image.new("L", (plant.width + 2 * pad, plant.height + 2 * pad))
    wide.paste(plant.getchannel("A"), (pad, pad))
    dark = np.asarray(wide.filter(ImageFilter.GaussianBlur(light.softness)), np.float32) / 255
    top -= pad + round(light.sun[0] * light.length * size)
    left -= pad + round(light.sun[1] * light.length * size)
    y0, x0 = max(0, top), max(0, left)
    y1, x1 = min(image.shape[0], top + wide.height), min(image.shape[1], left + wide.width)
    if y1 > y0 and x1 > x0:
        cut = dark[y0 - top : y1 - top, x0 - left : x1 - left, None]
        image[y0:y1, x0:x1] *= 1 - light.shadow * cut


def plant_all(rng: np.random.Generator, field: Field, image: Plane) -> Mask:
    """Lay the plants of one view on an image (H, W, 3), in place.

    Parameters
    ----------
    rng
        Where they stand, and which.
    field
        Species and how they are sown.
    image
        The soil (H, W, 3).

    Returns
    -------
    Mask
        Species (H, W): 0 where soil is more than half of a pixel, 1 crop, 2 and more others.
    """
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    bare = np.ones((height, width), np.float32)
    sown, zoom = field.sowing, width / 512
    for x, y, kind in places(rng, sown, round(width / zoom), round(height / zoom)):
        x, y = x * zoom, y * zoom
        spread = 0.2 if kind == 1 else 0.35
        size = sown.sizes[kind - 1] * zoom * np.exp(rng.normal(0, spread))
        size = max(8.0, size * (1 + sown.tilt * (y / height - 0.5)))
        grown = field.species[kind - 1].individuals
        plant = turned(rng, grown[rng.integers(len(grown))], size)
        gain = rng.uniform(0.85, 1.15)
        top, left = round(y - plant.height / 2), round(x - plant.width / 2)
        if field.light.shadow:
            shade(image, plant, top, left, size, field.light)
        y0, x0 = max(0, top), max(0, left)
        y1, x1 = min(height, top + plant.height), min(width, left + plant.width)
        if y1 <= y0 or x1 <= x0:
            continue
        part = np.asarray(plant)[y0 - top : y1 - top, x0 - left : x1 - left]
        alpha = part[..., 3:].astype(np.float32) / 255
        here = image[y0:y1, x0:x1]
        here += (part[..., :3] * np.float32(gain / 255) - here) * alpha
        soil_left, named = bare[y0:y1, x0:x1], mask[y0:y1, x0:x1]
        soil_left *= 1 - alpha[..., 0]
        named[(part[..., 3] > 127) | ((soil_left < 0.5) & (named == 0))] = kind
    return mask


def shone_on(rng: np.random.Generator, image: Plane, light: Light) -> Plane:
    """An image (H, W, 3) under light that falls off to one side, and under clouds."""
    height, width = image.shape[:2]
    y, x = np.mgrid[-0.5 : 0.5 : height * 1j, -0.5 : 0.5 : width * 1j].astype(np.float32)
    level = 1 + light.slope * (x * np.cos(light.towards) + y * np.sin(light.towards))
    if light.cloud:
        shape = smooth(rng, height, width, 160) + 0.12 * fractal(rng, height, width, 40)
        edge = rng.uniform(4, 16) * (shape - rng.normal(0.4, 0.5))
        level = level * (1 - light.cloud * expit(edge))
    return image * level[..., None].astype(np.float32)


def developed(rng: np.random.Generator, image: Plane, camera: Camera) -> Photo:
    """The photograph (H, W, 3) of an image (H, W, 3) of light."""
    height, width = image.shape[:2]
    usual = (0.46 / max(float(image.mean()), 0.02)) ** 0.6
    image = image * (camera.white * np.float32(camera.exposure * usual))
    if camera.vignette:
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
        image *= 1 - camera.vignette * (x * x + y * y)[..., None] / 2
    image = image.clip(0, 1) ** np.float32(camera.gamma)
    grey = image.mean(2, keepdims=True)
    image = grey + (image - grey) * np.float32(camera.saturation)
    image += rng.standard_normal(image.shape, np.float32) * np.float32(camera.grain)
    photo = Image.fromarray((image.clip(0, 1) * 255).astype(np.uint8))
    if camera.blur:
        photo = photo.filter(ImageFilter.GaussianBlur(camera.blur))
    if camera.motion:
        photo = photo.filter(ImageFilter.Kernel((5, 5), [0] * 10 + [1] * 5 + [0] * 10))
    if camera.sharpening:
        photo = photo.filter(ImageFilter.UnsharpMask(1.5, int(100 * camera.sharpening), 0))
    if camera.quality < 100:
        with io.BytesIO() as written:
            photo.save(written, "JPEG", quality=camera.quality)
            photo = Image.open(written).convert("RGB")
    return np.asarray(photo)


def photograph(rng: np.random.Generator, field: Field, size: tuple[int, int]) -> tuple[Photo, Mask]:
    """One view of a field.

    Parameters
    ----------
    rng
        Where this view differs from others.
    field
        What all views share.
    size
        Width and height in pixels.

    Returns
    -------
    tuple of Photo and Mask
        The photograph (H, W, 3) and the species (H, W) of each pixel.
    """
    on_soil, on_plants, on_light, on_camera = rng.spawn(4)
    image = soil(on_soil, field, size[1], size[0])
    mask = plant_all(on_plants, field, image)
    image = shone_on(on_light, image, field.light)
    return developed(on_camera, image, field.camera), mask
