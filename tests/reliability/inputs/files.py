"""The input matrix: files, as cameras, scanners, microscopes and colleagues write them."""

from __future__ import annotations

import io
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from PIL import Image

from tests.io.test_images import AS_STORED
from tests.reliability.inputs.arrays import (
    COUNTS,
    FLOAT,
    GAP,
    GREY,
    HEIGHT,
    PHOTO,
    RGBA,
    TOP,
    WIDTH,
    Case,
    bands,
    right,
    stretched,
    told,
)

Write = Callable[[Path], Any]
SIDE = 100_000  # of a picture of 10 ** 10 pixels
PICTURE = Image.fromarray(PHOTO)
PALETTE = PICTURE.quantize(200)
OF_PALETTE = np.asarray(PALETTE.convert("RGB"))
INKS = np.asarray(PICTURE.convert("CMYK"))
FIRST = np.ascontiguousarray(np.moveaxis(PHOTO, -1, 0))
# Pixels of JPEG and of other spaces of colour that get another class.
ROUNDED = 0.98


def pillow(picture: Any, **options: Any) -> Write:
    """What Pillow writes, in the format of the name."""
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    return lambda path: picture.save(path, **options)


def tiff(array: Any, photometric: str = "rgb", **options: Any) -> Write:
    """What tifffile writes."""
    return lambda path: tifffile.imwrite(path, array, photometric=photometric, **options)


def npy(array: Any, **options: Any) -> Write:
    return lambda path: np.save(path, array, **options)


def store(array: Any, version: int = 3, **options: Any) -> Write:
    """An array of zarr."""
    about = {"chunks": (16, 16, 3)[: array.ndim], "zarr_format": version} | options
    return lambda path: zarr.create_array(store=str(path), data=array, **about)


def ngff(version: str, axes: str) -> Write:
    """An OME-Zarr of two resolutions."""

    def write(path: Path) -> None:
        group = zarr.create_group(store=str(path), zarr_format=2 if version == "0.4" else 3)
        sets = []
        for level in (0, 1):
            array = FIRST[:, :: 2**level, :: 2**level]
            array = array.reshape([array.shape["cyx".find(a)] if a in "cyx" else 1 for a in axes])
            group.create_array(f"s{level}", data=array, chunks=array.shape)
            scale = [{"type": "scale", "scale": [2.0**level] * len(axes)}]
            sets.append({"path": f"s{level}", "coordinateTransformations": scale})
        about = [{"version": version, "axes": [{"name": a} for a in axes], "datasets": sets}]
        if version == "0.4":
            group.attrs["multiscales"] = about
        else:
            group.attrs["ome"] = {"version": version, "multiscales": about}

    return write


def pyramid(path: Path) -> None:
    """A TIFF with a smaller resolution inside."""
    large = PHOTO.repeat(2, 0).repeat(2, 1)
    with tifffile.TiffWriter(path) as file:
        file.write(large, subifds=1, photometric="rgb", tile=(32, 32))
        file.write(PHOTO, subfiletype=1, photometric="rgb", tile=(32, 32))


def with_thumbnail(path: Path) -> None:
    """A TIFF whose second page is a small picture of the first."""
    with tifffile.TiffWriter(path) as file:
        file.write(PHOTO, photometric="rgb")
        file.write(PHOTO[::4, ::4], photometric="rgb")


def lying(orientation: int, kind: str) -> Write:
    """PHOTO as a camera stores it that was held otherwise."""
    array = np.ascontiguousarray(AS_STORED[orientation](PHOTO))
    if kind == "tif":
        return tiff(array, extratags=[(274, "H", 1, orientation, True)])
    exif = Image.Exif()
    exif[274] = orientation
    return pillow(array, exif=exif, **({"quality": 98} if kind == "jpg" else {}))


def content(write: Write, suffix: str) -> bytes:
    """What a file of a kind holds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        write(path)
        return path.read_bytes()


def cut(write: Write, suffix: str, share: float = 0.5) -> Write:
    """The first part of a file."""

    def spoil(path: Path) -> None:
        raw = content(write, suffix)
        path.write_bytes(raw[: int(len(raw) * share)])

    return spoil


def called(write: Write, suffix: str) -> Write:
    """A file whose name says that it is another kind."""
    return lambda path: path.write_bytes(content(write, suffix))


def text(words: str) -> Write:
    return lambda path: path.write_text(words)


def damaged_store(file: str, data: bytes) -> Write:
    """A zarr, of which a file holds something else."""

    def write(path: Path) -> None:
        store(PHOTO)(path)
        (path / file).write_bytes(data)

    return write


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge_png(path: Path) -> None:
    """A PNG of some bytes, whose header says 10 ** 10 pixels."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0))
    parts = (header, _chunk(b"IDAT", zlib.compress(bytes(5000))), _chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def huge_bmp(path: Path) -> None:
    raw = bytearray(content(pillow(PHOTO), ".bmp"))
    raw[18:26] = struct.pack("<ii", SIDE, SIDE)
    path.write_bytes(raw)


def huge_jpeg(path: Path) -> None:
    """The largest that a JPEG can say."""
    raw = bytearray(content(pillow(PHOTO), ".jpg"))
    place = raw.index(b"\xff\xc0")
    raw[place + 5 : place + 9] = struct.pack(">HH", 65500, 65500)
    path.write_bytes(raw)


def huge_tiff(**options: Any) -> Write:
    def write(path: Path) -> None:
        tiff(PHOTO.repeat(2, 0).repeat(2, 1), metadata=None, **options)(path)
        with tifffile.TiffFile(path, mode="r+b") as file:
            for tag in ("ImageWidth", "ImageLength"):
                file.pages[0].tags[tag].overwrite(SIDE)

    return write


def huge_npy(path: Path) -> None:
    raw = io.BytesIO()
    about = {"descr": "|u1", "fortran_order": False, "shape": (SIDE, SIDE)}
    np.lib.format.write_array_header_1_0(raw, about)
    path.write_bytes(raw.getvalue() + bytes(100))


COLOUR_MAP = np.zeros((3, 256), np.uint16)
COLOUR_MAP[:, :200] = np.reshape(PALETTE.getpalette()[:600], (200, 3)).T * 257
CLAIM = r"says that it holds .* GB of pixels, in a file of .* bytes: it is damaged"
NO_IMAGE = "is no image this program can read, whatever its name says: use JPEG, PNG, TIFF"
DAMAGED = r"could not be read \(.+\): it may be damaged, open another copy"
WRITTEN: dict[str, Case] = {}


def _add(name: str, write: Write, like: Any = PHOTO, share: float = 1.0, **more: Any) -> None:
    WRITTEN[name] = right(write, like, share, **more)


def _fail(name: str, write: Write, says: str, **more: Any) -> None:
    WRITTEN[name] = told(write, says, **more)


# -- photographs ----------------------------------------------------------------------------------

for _suffix in ("png", "bmp"):
    _add(f"colour.{_suffix}", pillow(PHOTO))
_add("colour.webp", pillow(PHOTO, lossless=True))
_add("colour.jpg", pillow(PHOTO, quality=98), share=ROUNDED)
_add("grey.png", pillow(GREY), GREY)
_add("grey of 16 bits.png", pillow(GREY.astype(np.uint16) * 257), GREY)
_add("black and white.png", pillow(GREY > 100), np.where(GREY > 100, 255, 0).astype(np.uint8))
_add("grey and alpha.png", pillow(PICTURE.convert("LA")), GREY)
_add("rgba.png", pillow(RGBA))
_add("rgba with a gap.png", pillow(GAP), GAP)
_add("palette.png", pillow(PALETTE), OF_PALETTE)
_add("palette.bmp", pillow(PALETTE), OF_PALETTE)
_add("print.jpg", pillow(PICTURE.convert("CMYK"), quality=98), share=ROUNDED)
for _number in range(1, 9):
    _add(f"exif {_number}.png", lying(_number, "png"))
    _add(f"exif {_number}.tif", lying(_number, "tif"))
    _add(f"exif {_number}.jpg", lying(_number, "jpg"), share=0.97)
_add("one pixel.png", pillow(PHOTO[:1, :1]), PHOTO[:1, :1])
_add("one row.png", pillow(PHOTO[:1]), PHOTO[:1])
_add("odd.png", pillow(PHOTO[:37, :53]), PHOTO[:37, :53])
_add("black.png", pillow(np.zeros_like(PHOTO)), np.zeros_like(PHOTO))

# -- TIFF -----------------------------------------------------------------------------------------

_add("colour.tif", tiff(PHOTO))
for _kind in ("lzw", "zlib", "zstd"):
    _add(f"{_kind}.tif", tiff(PHOTO, compression=_kind))
_add("jpeg inside.tif", tiff(PHOTO, compression="jpeg", compressionargs={"level": 98}), share=0.97)
_add("large offsets.tif", tiff(PHOTO, bigtiff=True))
_add("imagej.tif", tiff(PHOTO, imagej=True))
_add("grey.tif", tiff(GREY, "minisblack"), GREY)
_add("white is zero.tif", tiff(255 - GREY, "miniswhite"), GREY)
_add("palette.tif", tiff(np.asarray(PALETTE), "palette", colormap=COLOUR_MAP), OF_PALETTE)
_add("print.tif", tiff(INKS, "separated"), share=ROUNDED)
_add("print of 16 bits.tif", tiff(INKS.astype(np.uint16) * 257, "separated"), share=ROUNDED)
_add("ycbcr.tif", pillow(PICTURE.convert("YCbCr")), share=ROUNDED)
_fail("lab.tif", pillow(PICTURE.convert("LAB")), "stored as CIELAB: save it as RGB")
_fail("mosaic.tif", tiff(GREY, "cfa"), "stored as CFA: save it as RGB")
_add("rgba.tif", tiff(RGBA, extrasamples=["unassalpha"]))
_add("planes.tif", tiff(FIRST, planarconfig="separate"))
_add("first.ome.tif", tiff(FIRST, "minisblack", ome=True, metadata={"axes": "CYX"}))
_add("big-endian.tif", tiff(PHOTO.astype(np.uint16) * 257, byteorder=">"))
_add("int32.tif", tiff(PHOTO.astype(np.int32)))
_add("float16.tif", tiff(FLOAT.astype(np.float16)), share=ROUNDED)
_add("float32.tif", tiff(FLOAT))
_add("float64.tif", tiff(PHOTO / 255, byteorder=">"))
_add("nan.tif", tiff(np.where(TOP[..., None], np.nan, FLOAT).astype(np.float32)), GAP)
_add("below zero.tif", tiff(PHOTO.astype(np.int16) - 128), stretched(PHOTO))
_fail("complex.tif", tiff(FLOAT[..., 0] + 1j, "minisblack"), "complex64 cannot be segmented: conv")
_add("one row.tif", tiff(PHOTO[:1]), PHOTO[:1])
_add("pyramid.tif", pyramid, PHOTO.repeat(2, 0).repeat(2, 1))
_add("thumbnail.tif", with_thumbnail)

# -- arrays ---------------------------------------------------------------------------------------

_add("last.npy", npy(PHOTO))
_add("first.npy", npy(FIRST))
_add("fortran.npy", npy(np.asfortranarray(PHOTO)))
_add("big-endian.npy", npy(PHOTO.astype(">u2") * 257))
_add("bool.npy", npy(GREY > 100), np.where(GREY > 100, 255, 0).astype(np.uint8))
_fail("empty.npy", npy(np.zeros((0, 5))), "is empty .*: choose one with pixels")
_fail("number.npy", npy(np.array(5)), "is not one image: give height x width")
_fail("complex.npy", npy(PHOTO + 1j), "cannot be segmented: convert it")
_fail("text.npy", npy(PHOTO.astype(str)), "cannot be segmented: convert it")
_fail("objects.npy", npy(PHOTO.astype(object), allow_pickle=True), "holds objects.: save an arr")
for _format in (2, 3):
    _add(f"array {_format}.zarr", store(PHOTO, _format))
_add("big-endian.zarr", store(PHOTO.astype(">u2") * 257, 2))
_add("shards.zarr", store(PHOTO, shards=(32, 32, 3)))
for _version in ("0.4", "0.5"):
    for _axes in ("cyx", "tczyx"):
        _add(f"{_version} {_axes}.ome.zarr", ngff(_version, _axes))
_fail("no chunk.zarr", damaged_store("c/1/1/0", b"xx"), "could not be read from where it is stored")
_fail("no description.zarr", damaged_store("zarr.json", b"{"), DAMAGED)
_fail("no array.zarr", lambda path: zarr.create_group(store=str(path)), "holds no array: choose a")
_fail("empty.zarr", store(np.zeros((0, 5), "u1")), "is empty .*: choose one with pixels")

# -- what is damaged, or no image -----------------------------------------------------------------

for _name, _write in {
    "half.png": pillow(PHOTO),
    "half.jpg": pillow(PHOTO),
    "half.bmp": pillow(PHOTO),
    "half.webp": pillow(PHOTO, lossless=True),
    "half.tif": tiff(PHOTO),
    "half lzw.tif": tiff(PHOTO, compression="lzw"),
    "half planes.tif": tiff(FIRST, planarconfig="separate"),
    "half.ome.tif": tiff(FIRST, "minisblack", ome=True, metadata={"axes": "CYX"}),
    "half.npy": npy(PHOTO),
}.items():
    _fail(_name, cut(_write, "".join(Path(_name).suffixes)), DAMAGED)
    _fail(f"start of {_name}", cut(_write, "".join(Path(_name).suffixes), 0.03), DAMAGED)
_add("png.jpg", called(pillow(PHOTO), ".png"))
_add("png.tif", called(pillow(PHOTO), ".png"))
_add("png.npy", called(pillow(PHOTO), ".png"))
_add("tiff.jpg", called(tiff(PHOTO), ".tif"))
_add("deep tiff.png", called(tiff(PHOTO.astype(np.uint16) * 257), ".tif"))
_add("numpy.png", called(npy(PHOTO), ".npy"))
_add("jpeg.png", called(pillow(PHOTO, quality=98), ".jpg"), share=ROUNDED)
for _suffix in ("jpg", "png", "tif", "webp", "npy"):
    _fail(f"notes.{_suffix}", text("<!doctype html><title>404</title>"), NO_IMAGE)
    _fail(f"nothing.{_suffix}", text(""), "is an empty file")
_fail("apple.jpg", lambda p: p.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"), NO_IMAGE)
_fail("notes.zarr", text("notes"), DAMAGED)
_fail("huge.png", huge_png, CLAIM)
_fail("huge.bmp", huge_bmp, CLAIM)
_fail("huge.jpg", huge_jpeg, CLAIM)
_fail("huge.tif", huge_tiff(), CLAIM)
_fail("huge packed.tif", huge_tiff(compression="zlib"), CLAIM)
_fail("huge tiles.tif", huge_tiff(compression="zlib", tile=(16, 16)), CLAIM)
_fail("huge.npy", huge_npy, DAMAGED)

# -- channels -------------------------------------------------------------------------------------


def banded() -> dict[str, Case]:
    """Files of two to twelve channels, for models of as many."""
    found = {}
    for count in COUNTS:
        last = bands(count)
        first = np.ascontiguousarray(np.moveaxis(last, -1, 0))
        for name, write in {
            f"{count} last.npy": npy(last),
            f"{count} first.npy": npy(first),
            f"{count} last.zarr": store(last, chunks=last.shape),
            f"{count} first.ome.tif": tiff(first, "minisblack", ome=True, metadata={"axes": "CYX"}),
        }.items():
            found[name] = right(write, last, channels=count)
    return found


FILES = WRITTEN | banded()
assert GREY.shape == (HEIGHT, WIDTH)
