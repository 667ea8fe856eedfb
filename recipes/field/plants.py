"""Plants of a species, seen from above: pictures, or leaves put together by a habit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .bank import Bank, Families, cropped, on_side
from .leaves import SHAPES, Colour, drawn_leaf, hue_colour, leaf_colour

SIDE = 256
INDIVIDUALS = 4
GOLDEN = np.radians(137.5)
Leaves = list[Image.Image]


@dataclass(frozen=True)
class Species:
    """One species: its family, and some individuals as RGBA pictures."""

    family: str
    individuals: list[Image.Image]


class Canvas:
    """A transparent square on which leaves are laid, the later above the earlier."""

    def __init__(self, side: int = SIDE) -> None:
        self.pixels = np.zeros((side, side, 4), np.float32)
        self.side = side

    def put(
        self,
        leaf: Image.Image,
        base: tuple[float, float],
        angle: float,
        length: float,
        breadth: float = 1,
        light: float = 1,
        shade: float = 0.3,
    ) -> tuple[float, float]:
        """Lay a leaf.

        Parameters
        ----------
        leaf
            An RGBA picture with its base at the top.
        base
            Where its base is put, (y, x) in pixels.
        angle
            Where it points, in radians from downwards, anticlockwise.
        length
            In pixels.
        breadth
            Width, as a share of what the length would give.
        light
            What its colour is multiplied by.
        shade
            How much darker a leaf below becomes along its edge.

        Returns
        -------
        tuple of float
            Where its tip lies, (y, x).
        """
        along = np.array([np.cos(angle), np.sin(angle)])
        tip = (base[0] + length * along[0], base[1] + length * along[1])
        size = (max(1, round(leaf.width * length / leaf.height * breadth)), max(1, round(length)))
        small = leaf.resize(size, Image.Resampling.BOX, reducing_gap=2)
        turned = small.rotate(np.degrees(angle), Image.Resampling.BICUBIC, expand=True)
        middle = np.add(base, tip) / 2
        top, left = (
            np.round(middle).astype(int) - np.array([turned.height, turned.width]) // 2
        ).tolist()
        y0, x0 = max(0, top), max(0, left)
        y1, x1 = min(self.side, top + turned.height), min(self.side, left + turned.width)
        if y1 <= y0 or x1 <= x0:
            return tip
        part = np.asarray(turned, np.float32)[y0 - top : y1 - top, x0 - left : x1 - left] / 255
        cover, here = part[..., 3:], self.pixels[y0:y1, x0:x1]
        if shade and y0 >= 2 and x0 >= 2:
            self.pixels[y0 - 2 : y1 - 2, x0 - 2 : x1 - 2, :3] *= 1 - shade * cover
        here *= 1 - cover
        here[..., :3] += (part[..., :3] * light).clip(0, 1) * cover
        here[..., 3:] += cover
        return tip

    def picture(self) -> Image.Image:
        """What was laid, as an RGBA picture without margin."""
        cover = self.pixels[..., 3:]
        colour = self.pixels[..., :3] / np.maximum(cover, 1e-3)
        whole = np.concatenate([colour, cover], 2).clip(0, 1) * 255
        return cropped(Image.fromarray(whole.astype(np.uint8)))


def tinted(picture: Image.Image, matrix: NDArray[np.float64]) -> Image.Image:
    """An RGBA picture with its colours multiplied by a matrix (3, 3)."""
    rows = np.hstack([matrix, np.zeros((3, 1))]).ravel().tolist()
    colours = picture.convert("RGB").convert("RGB", rows)
    colours.putalpha(picture.getchannel("A"))
    return colours


def tint(hue: float, saturation: float, value: float) -> NDArray[np.float64]:
    """A matrix (3, 3) that turns hues by radians around grey, and scales saturation and value."""
    grey = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    return value * (grey + saturation * (np.cos(hue) * (np.eye(3) - grey) + np.sin(hue) * cross))


def greened(rng: np.random.Generator, pictures: Leaves) -> Leaves:
    """Pictures of one species in one new tint; most that are red or brown become greener."""
    pixels = np.asarray(pictures[0].resize((24, 24)), np.float32)
    red, green, blue = (pixels[..., :3] * pixels[..., 3:]).sum((0, 1)) / (pixels[..., 3].sum() + 1)
    turn = rng.normal(-0.06, 0.15)
    if red > green and rng.random() < 0.8:
        turn += min(1.0, 0.35 + 1.2 * (red - green) / (red - min(green, blue) + 1))
    bright = max(red, green, blue) > 60
    value = rng.uniform(0.8, 1.7) if bright else rng.uniform(1.2, 2.2)
    matrix = tint(turn, rng.uniform(0.6, 1.5), value)
    return [tinted(picture, matrix) for picture in pictures]


# A habit lays leaves on a canvas; vigour (0 to 1) is how far the plant has grown.
Habit = Callable[[np.random.Generator, Canvas, Leaves, dict[str, float], float], None]


def any_of(rng: np.random.Generator, leaves: Leaves) -> Image.Image:
    """One of some pictures."""
    return leaves[rng.integers(len(leaves))]


def stalk(rng: np.random.Generator, canvas: Canvas, style: dict[str, float], *way: float) -> None:
    """A petiole from (y, x) by an angle over a length."""
    y, x, angle, length = way
    colour = hue_colour(style["stalk"], 0.45, style["stalk light"])
    bar = Image.new("RGBA", (3, 24), (*(colour * 255).astype(int).tolist(), 255))
    canvas.put(bar, (y, x), angle, length, style["thick"] * 8 / max(length, 8))


def rosette(
    rng: np.random.Generator, canvas: Canvas, leaves: Leaves, style: dict[str, float], vigour: float
) -> None:
    """Leaves around one point, the outer and older ones below."""
    count = max(2, round(style["count"] * (0.4 + 0.6 * vigour)))
    centre, start = canvas.side / 2, rng.uniform(0, 2 * np.pi)
    step = GOLDEN if style["spiral"] > 0.5 else 2 * np.pi / count
    for k in range(count):
        age = 1 - k / count
        angle = start + k * step + rng.normal(0, style["jitter"])
        size = canvas.side * 0.48 * (style["young"] + (1 - style["young"]) * age)
        petiole = style["petiole"] * size * rng.uniform(0.7, 1.2)
        y, x = centre + petiole * np.cos(angle), centre + petiole * np.sin(angle)
        if petiole > 4:
            stalk(rng, canvas, style, centre, centre, angle, petiole)
        length = (size - petiole) * rng.uniform(0.7, 1.05)
        breadth = rng.uniform(0.75, 1.1)
        canvas.put(any_of(rng, leaves), (y, x), angle, length, breadth, rng.uniform(0.8, 1.2))


def branched(
    rng: np.random.Generator, canvas: Canvas, leaves: Leaves, style: dict[str, float], vigour: float
) -> None:
    """Stems that creep from one point, with leaves in turns or in pairs."""
    stems = max(1, round(style["stems"] * (0.5 + 0.5 * vigour)))
    start, nodes = rng.uniform(0, 2 * np.pi), int(style["nodes"])
    for k in range(stems):
        y = x = canvas.side / 2
        angle, curl = start + 2 * np.pi * k / stems + rng.normal(0, 0.3), rng.normal(0, 0.25)
        step = canvas.side * (0.42 if stems > 1 else 0.5) / nodes
        for node in range(1, nodes + 1):
            stalk(rng, canvas, style, y, x, angle, step * 1.15)
            y, x = y + step * np.cos(angle), x + step * np.sin(angle)
            angle += curl + rng.normal(0, 0.12)
            size = canvas.side * style["leaf"] * (1 - 0.5 * node / nodes) * rng.uniform(0.7, 1.15)
            sides = (-1, 1) if style["paired"] > 0.5 else ((-1) ** node,)
            for side in (*sides, 0) if node == nodes else sides:
                way = angle + side * style["lean"] + rng.normal(0, 0.2)
                breadth, light = rng.uniform(0.7, 1.1), rng.uniform(0.8, 1.2)
                canvas.put(any_of(rng, leaves), (y, x), way, size, breadth, light)


def tuft(
    rng: np.random.Generator, canvas: Canvas, leaves: Leaves, style: dict[str, float], vigour: float
) -> None:
    """Blades of grass from a small foot, more to one side where the wind or the slope is."""
    count = max(2, round(style["blades"] * (0.3 + 0.7 * vigour)))
    lean, towards = style["one-sided"], rng.uniform(0, 2 * np.pi)
    for _ in range(count):
        foot = canvas.side / 2 + rng.normal(0, canvas.side * style["foot"], 2)
        angle = towards + rng.vonmises(0, lean)
        length = canvas.side * 0.47 * rng.beta(3, 1.5)
        breadth = rng.uniform(0.6, 1.2)
        base = (float(foot[0]), float(foot[1]))
        canvas.put(any_of(rng, leaves), base, angle, length, breadth, rng.uniform(0.7, 1.25))


def mat(
    rng: np.random.Generator, canvas: Canvas, leaves: Leaves, style: dict[str, float], vigour: float
) -> None:
    """Many small leaves that cover a patch, the middle more densely."""
    size = canvas.side * style["leaf"] * 0.8
    for _ in range(round((12 + 40 * vigour) * (0.22 / style["leaf"]) ** 0.7)):
        y, x = canvas.side / 2 + rng.normal(0, canvas.side * 0.15, 2).clip(-80, 80)
        angle = rng.uniform(0, 2 * np.pi)
        canvas.put(
            any_of(rng, leaves),
            (y, x),
            angle,
            size * rng.uniform(0.6, 1.1),
            1,
            rng.uniform(0.75, 1.2),
        )


HABITS: dict[str, Habit] = {"rosette": rosette, "branched": branched, "tuft": tuft, "mat": mat}


def compound(rng: np.random.Generator, leaflets: Leaves, kind: str) -> Image.Image:
    """A leaf of leaflets, base at the top: three of them, a fan, or pairs along a stalk."""
    canvas, leaf = Canvas(192), leaflets[0]
    colour = np.asarray(leaf.resize((1, 1)))[0, 0, :3].tolist()
    bar = Image.new("RGBA", (3, 60), (*colour, 255))
    middle = canvas.side / 2
    if kind == "pinnate":
        pairs, size = int(rng.integers(2, 9)), rng.uniform(0.22, 0.4)
        canvas.put(bar, (4, middle), 0, 150, 0.5)
        for k in range(pairs):
            y = 30 + 120 * (k + rng.uniform(-0.1, 0.1)) / pairs
            for side in (-1, 1):
                angle = side * rng.normal(1.1, 0.12)
                canvas.put(
                    leaf,
                    (y, middle),
                    angle,
                    192 * size * (1 - 0.3 * k / pairs),
                    1,
                    rng.uniform(0.85, 1.15),
                )
        canvas.put(leaf, (148, middle), 0, 192 * size * 0.75)
        return canvas.picture()
    fingers = 3 if kind == "trifoliate" else int(rng.integers(4, 8))
    spread = rng.uniform(0.9, 1.5) if fingers == 3 else rng.uniform(1.4, 2.4)
    foot = rng.uniform(20, 80)
    canvas.put(bar, (4, middle), 0, foot, 0.6)
    for angle in np.linspace(-spread, spread, fingers):
        canvas.put(
            leaf,
            (foot, middle),
            angle,
            88 * rng.uniform(0.85, 1.1),
            rng.uniform(0.85, 1.1),
            rng.uniform(0.85, 1.15),
        )
    return canvas.picture()


def drawn_family(rng: np.random.Generator) -> str:
    """A habit and a shape of leaf that go together, such as "rosette-pinnate-oval"."""
    habit = str(rng.choice(list(HABITS), p=[0.42, 0.26, 0.2, 0.12]))
    if habit == "tuft":
        return "tuft-" + str(rng.choice(["linear", "linear", "linear", "lanceolate"]))
    shape = str(rng.choice([s for s in SHAPES if s != "linear" or habit == "rosette"]))
    joined = str(rng.choice(["", "trifoliate", "pinnate", "fan"], p=[0.6, 0.16, 0.16, 0.08]))
    return "-".join(part for part in (habit, joined, shape) if part)


def style_of(rng: np.random.Generator, habit: str) -> dict[str, float]:
    """What the individuals of a species share besides their leaves."""
    return {
        "count": float(rng.choice([2, 2, 3, 4, 4, 5, 6, 8, 12, 18])),
        "spiral": rng.random(),
        "jitter": rng.uniform(0.05, 0.35),
        "young": rng.uniform(0.25, 0.9),
        "petiole": max(0.0, rng.uniform(-0.2, 0.45)),
        "stems": float(rng.integers(1, 6)),
        "nodes": float(rng.integers(2, 8)),
        "paired": rng.random(),
        "lean": rng.uniform(0.5, 1.4),
        "leaf": rng.uniform(0.12, 0.32),
        "blades": float(np.exp(rng.uniform(np.log(3), np.log(45)))),
        "one-sided": float(rng.choice([0, 0, 0.6, 3])),
        "foot": rng.uniform(0.005, 0.05 if habit == "tuft" else 0.02),
        "stalk": float(rng.choice([80, 95, 110, 350])),
        "stalk light": rng.uniform(0.4, 0.75),
        "thick": rng.uniform(0.8, 2.4),
    }


def flowered(rng: np.random.Generator, canvas: Canvas, colour: Colour) -> None:
    """A few small flowers on a plant."""
    flower = drawn_leaf(rng, "rounded", colour, int(rng.integers(99)))
    for _ in range(rng.integers(1, 6)):
        y, x = canvas.side / 2 + rng.normal(0, canvas.side * 0.15, 2)
        canvas.put(flower, (y, x), rng.uniform(0, 6), canvas.side * rng.uniform(0.04, 0.1))


def grown(rng: np.random.Generator, habit: str, leaves: Leaves) -> Leaves:
    """Individuals of one habit with the same leaves."""
    style, plants = style_of(rng, habit), []
    petals = hue_colour(float(rng.choice([50, 0, 300])), rng.choice([0.05, 0.6]), 0.9)
    flowers = rng.random() < 0.08
    for _ in range(INDIVIDUALS):
        canvas = Canvas()
        HABITS[habit](rng, canvas, leaves, style, rng.random())
        if flowers:
            flowered(rng, canvas, petals)
        plants.append(canvas.picture())
    return plants


def drawn_species(rng: np.random.Generator, family: str, colour: Colour) -> Species:
    """A species whose leaves the program draws."""
    habit, *joined, shape = family.split("-")
    form = int(rng.integers(1 << 30))
    leaves = [drawn_leaf(rng, shape, colour, form) for _ in range(3)]
    if joined:
        leaves = [compound(rng, [leaf], joined[0]) for leaf in leaves]
    return Species(family, grown(rng, habit, leaves))


def one_family(rng: np.random.Generator, families: Families) -> tuple[str, Leaves]:
    """Name and pictures of one family."""
    name = sorted(families)[rng.integers(len(families))]
    return name, families[name]


def species(rng: np.random.Generator, bank: Bank, colour: Colour | None = None) -> Species:
    """A new species.

    Parameters
    ----------
    rng
        Where it comes from.
    bank
        Pictures of one side of the split.
    colour
        The colour (3,) of leaves that are drawn; None: one of its own.

    Returns
    -------
    Species
        Of a family on the side of ``bank``.
    """
    kind = rng.random()
    if bank.seedlings and kind < 0.16:
        family, pictures = one_family(rng, bank.seedlings)
        chosen = [any_of(rng, pictures) for _ in range(6)]
        return Species(family, greened(rng, chosen))
    if bank.plants and kind < 0.38:
        family, pictures = one_family(rng, bank.plants)
        return Species(family, greened(rng, [any_of(rng, pictures)]))
    if bank.leaves and kind < 0.5:
        family, pictures = one_family(rng, bank.leaves)
        habit = str(rng.choice(["rosette", "branched", "mat"], p=[0.6, 0.25, 0.15]))
        return Species(family, grown(rng, habit, greened(rng, [any_of(rng, pictures)])))
    family = drawn_family(rng)
    while not on_side(family.replace("-", " "), bank.split):
        family = drawn_family(rng)
    return drawn_species(rng, family, leaf_colour(rng) if colour is None else colour)
