"""The tasks: photographs of one kind with exact masks, in families, open and sealed ones.

Open tasks may be looked at while something is designed. Sealed ones have other photographs,
scenes, textures, changes and fields; they are for the judgement at the end.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import numpy as np

from benchmarks.loop import pictures
from benchmarks.loop.photos import OPEN_EYES, SEALED_EYES, Change, Photo, unchanged
from napari_gaussproto.io.images import read_image, read_mask

ANNOTATED, HELD_OUT = 4, 6
# Scenes of the peanut_weed val split; the others are open.
SEALED_SCENES = frozenset({"7", "14", "112", "141", "196", "3", "206", "223", "233", "246", "273"})
_SEED = 16


@dataclass(frozen=True)
class Task:
    """Photographs that one class table and one kind of picture belong to.

    Attributes
    ----------
    name, family : str
    sealed : bool
    classes : tuple of str
        Of labels 1, 2 and so on.
    makers : sequence of callable
        Each makes one photograph, always the same.
    """

    name: str
    family: str
    sealed: bool
    classes: tuple[str, ...]
    makers: Sequence[Callable[[], Photo]] = field(repr=False)

    def rng(self, draw: int, number: int = 0) -> np.random.Generator:
        """The same random numbers for every method, others in each round."""
        return np.random.default_rng((zlib.crc32(self.name.encode()), draw, number))

    def pair(self, draw: int) -> tuple[Photo, Photo | None]:
        """A photograph to annotate and one of another place, both with all classes."""
        first: Photo | None = None
        for photo in self._shuffled(draw):
            if not photo.holds(len(self.classes)):
                continue
            if first is None:
                first = photo
            elif photo.scene != first.scene:
                return first, photo
        if first is None:
            raise ValueError(f"no photograph of “{self.name}” holds all of its classes")
        return first, None

    def sets(self, draw: int, most: int = ANNOTATED) -> tuple[list[Photo], list[Photo]]:
        """Photographs to annotate, each of another place, and others that judge.

        Some hold not all classes; of those to annotate all but one do, and of those that
        judge two, where there are so many.
        """
        photos = list(self._shuffled(draw))
        full = [photo for photo in photos if photo.holds(len(self.classes))]
        count = min(most, len(photos) // 2)
        annotated = _of_new_places(full, max(1, count - 1), [])
        judges = _of_new_places(full, 2, annotated)
        annotated += _of_new_places(photos, count - len(annotated), [*annotated, *judges])
        used = {photo.scene for photo in annotated}
        further = [p for p in photos if p.scene not in used and p not in judges]
        return annotated, [*judges, *further][:HELD_OUT]

    def _shuffled(self, draw: int) -> Iterator[Photo]:
        for number in self.rng(draw).permutation(len(self.makers)):
            yield self.makers[number]()


def _of_new_places(photos: Sequence[Photo], count: int, used: Sequence[Photo]) -> list[Photo]:
    chosen: list[Photo] = []
    for photo in photos:
        if len(chosen) < count and photo.scene not in {p.scene for p in [*used, *chosen]}:
            chosen.append(photo)
    return chosen


def tasks(
    peanut: Path | None = None,
    fields: Path | None = None,
    *,
    sealed: bool = False,
    names: Sequence[str] = (),
) -> list[Task]:
    """All tasks that can be had.

    Parameters
    ----------
    peanut : Path, optional
        The folder of peanut_weed; only photographs of its val split are read.
    fields : Path, optional
        A folder of synthetic fields, see `field_tasks`.
    sealed : bool
        Those that are looked at once, instead of the open ones.
    names : sequence of str
        Of tasks or families, if not all are wanted.
    """
    found = [*_texture_tasks(sealed), *_picture_tasks(sealed)]
    found = [*(peanut_tasks(peanut, sealed) if peanut else []), *found]
    found += field_tasks(fields, sealed) if fields else []
    return [task for task in found if not names or {task.name, task.family} & set(names)]


# -- photographs of a field ------------------------------------------------------------------------


def peanut_tasks(folder: Path, sealed: bool) -> list[Task]:
    """The val split of peanut_weed, seen through many eyes."""
    rows = _val_rows(folder)
    rows = [row for row in rows if (row["group"] in SEALED_SCENES) == sealed]
    return [
        Task(
            name,
            family,
            sealed,
            ("soil", "crop", "weed"),
            [_maker(folder, row, eye) for row in rows],
        )
        for (family, name), eye in (SEALED_EYES if sealed else OPEN_EYES).items()
    ]


def all_peanut(folder: Path) -> list[Callable[[], Photo]]:
    """What makes each photograph of the val split of peanut_weed, as it is."""
    return [_maker(folder, row, unchanged) for row in _val_rows(folder)]


def _val_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="", encoding="utf-8-sig") as file:
        return [row for row in csv.DictReader(file) if row["split"] == "val"]


def _maker(folder: Path, row: dict[str, str], eye: Change) -> Callable[[], Photo]:
    return partial(_peanut, folder, row["image"], row["mask"], row["group"], eye)


def _peanut(folder: Path, image: str, mask: str, scene: str, eye: Change) -> Photo:
    return eye(_peanut_photo(folder / "images" / image, folder / "masks" / mask, scene))


@cache
def _peanut_photo(image: Path, mask: Path, scene: str) -> Photo:
    return Photo(np.asarray(read_image(image)), read_mask(mask) + np.uint8(1), scene)


# -- synthetic fields ------------------------------------------------------------------------------


def field_tasks(folder: Path, sealed: bool, most: int = 6) -> list[Task]:
    """Every synthetic field is a task: soil, crop and all weeds as one.

    Parameters
    ----------
    folder : Path
        Photographs NNNNN_a.png, NNNNN_b.png and so on of each field, and their species beside
        them in NNNNN_a_species.png: 0 soil, 1 crop, 2 and more weeds. Fields of an odd number
        are sealed.
    most : int
        The first fields that show all classes in two photographs, so many at most.
    """
    found: list[Task] = []
    for number in sorted({path.name.split("_")[0] for path in folder.glob("*_a.png")}):
        if len(found) < most and (int(number) % 2 == 1) == sealed:
            paths = [p for p in sorted(folder.glob(f"{number}_*.png")) if "species" not in p.name]
            makers = [partial(_field_photo, path) for path in paths]
            if sum(maker().holds(3) for maker in makers) > 1:
                classes = ("soil", "crop", "weed")
                found.append(Task(f"field {number}", "fields", sealed, classes, makers))
    return found


def all_fields(folder: Path) -> list[Callable[[], Photo]]:
    """What makes the first photograph of each open field; see `field_tasks`."""
    paths = sorted(folder.glob("*_a.png"))
    return [partial(_field_photo, path) for path in paths if int(path.name.split("_")[0]) % 2 == 0]


def _field_photo(path: Path) -> Photo:
    species = read_mask(path.with_name(f"{path.stem}_species.png"))
    truth = np.minimum(species, 2).astype(np.uint8) + np.uint8(1)
    return Photo(np.asarray(read_image(path)), truth, path.stem)


# -- what lies in scikit-image ---------------------------------------------------------------------


def _texture_tasks(sealed: bool) -> list[Task]:
    if sealed:
        kinds = {
            "gravel, fur, stars, grey": (("gravel", "fur", "stars"), False),
            "lawn, retina, gravel in colour": (("lawn", "retina", "gravel"), True),
        }
    else:
        kinds = {
            "brick, grass, wood, grey": (("brick", "grass", "wood"), False),
            "brick, grass, wood, moon in colour": (("brick", "grass", "wood", "moon"), True),
        }
    made = pictures.textures
    return [
        _drawn(name, "textures", sealed, names, partial(made, names, _SEED, coloured=coloured))
        for name, (names, coloured) in kinds.items()
    ]


def _picture_tasks(sealed: bool) -> list[Task]:
    if sealed:
        head = ("empty", "skull", "brain", "brighter")
        return [
            _drawn("head", "pictures", True, head, partial(pictures.phantom, _SEED)),
            _drawn(
                "logo on gravel",
                "pictures",
                True,
                ("gravel", "orange", "green"),
                partial(pictures.logos, "gravel", _SEED),
            ),
        ]
    horses = partial(pictures.horses, "grass", "wood", _SEED)
    tissue = ("connective", "stained")
    return [
        _drawn("horses", "pictures", False, ("ground", "horse"), horses),
        _drawn("coins", "pictures", False, ("ground", "coin"), pictures.coins, 2),
        _drawn("tissue", "pictures", False, tissue, pictures.stained_tissue, 4),
    ]


def _drawn(
    name: str,
    family: str,
    sealed: bool,
    classes: tuple[str, ...],
    make: Callable[[int], Photo],
    count: int = ANNOTATED + HELD_OUT,
) -> Task:
    return Task(name, family, sealed, classes, [partial(make, number) for number in range(count)])
