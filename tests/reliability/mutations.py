"""Model files that are wrong in every way that somebody could think of, by seed and number."""

from __future__ import annotations

import copy
import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load

from napari_gaussproto.core.model.summary import FORMAT

# What may stand where a value is expected.
_VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 7, 255, 2**31, 2**63, 10**30, -(10**30)),
    *(0.5, 1e-300, 1e308, float("inf"), float("-inf"), float("nan")),
    *("", " ", "x", "x" * 100_000, "../../etc/passwd", "/etc/passwd", "C:\\con", "a\0b", "\ud800"),
    *("hf-hub:someone/network", "hf_hub:someone/network", "local-dir:/etc", "nan", "1e999"),
    *("__import__('os').system('true')", "{0.__class__}", "%s%n", "\u202e", "🌱"),
    *([], {}, [[]], [1] * 1000, {"a": {"b": {}}}),
)
_BACKBONES = (
    *("hf-hub:someone/network", "hf_hub:timm/resnet18", "local-dir:/tmp", "resnet18.a1_in1k"),
    *("vit_giant_patch14_dinov2", "eva02_enormous_patch14_clip_224", "resnet18", "../network"),
    *(
        "mobilenetv3_small_075",
        "vgg11",
        "",
        "tf_efficientnet_lite0",
        "swin_tiny_patch4_window7_224",
    ),
)
_CONFIG: dict[str, tuple[Any, ...]] = {
    "backbone": _BACKBONES,
    "channels": (0, 1, 2, 4, 1000, 10**6, 10**9, 10**19),
    "neck_channels": (3, 4, 17, 10**6, 10**9, 10**12, 2**63),
    "latent_dim": (1, 2, 512, 513, 10**9),
    "strides": ([], [0], [4], [4, 8, 16], [10**9], [-4], [4] * 1000, [2, 4, 8, 16, 32]),
    "covariance": ("full", "spherical", "none"),
    "neck": ("none", "fused"),
    "partition": ("superpixel", "grid"),
    "pooling": ("roi_align", "masked_roi_align", "mask_mean"),
    "local_features": (True, False),
    "region_size": (2, 3, 1000, 10**9, 10**30),
    "compactness": (1e-300, 1e308, float("inf"), 0),
    "scale_floor": (0.99, 1.0, 1e300, float("inf"), float("nan"), 1e-300),
    "downsample": (1, 2, 16, 17),
    "output_stride": (4, 8, 2),
    "classes": (["a", "a"], ["a"], [f"c{i}" for i in range(254)], [f"c{i}" for i in range(255)]),
    "prototypes_per_class": (1, 64, 65),
}
_DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I8", "U8", "BOOL", "F8_E4M3", "C64", "F4", "X")
_DTYPES_OF_TORCH = (
    *(torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8),
    *(torch.bool, torch.complex64, torch.float8_e4m3fn),
)
_NAMES = {
    **dict(zip(_DTYPES_OF_TORCH, ("F64", "F16", "BF16", "I64", "I8", "U8"), strict=False)),
    torch.float32: "F32",
    torch.bool: "BOOL",
    torch.complex64: "C64",
    torch.float8_e4m3fn: "F8_E4M3",
}
_NUMBERS = (float("nan"), float("inf"), float("-inf"), 1e38, -1e38, 1e30, -1.0, 0.0, 65504.0, 1e-45)


@dataclass(frozen=True)
class Good:
    """A good model file, and its parts.

    Attributes
    ----------
    content : bytes
    tensors : dict of str to Tensor, of any shapes
    description : dict
    """

    content: bytes
    tensors: dict[str, torch.Tensor]
    description: dict[str, Any]

    @classmethod
    def of(cls, content: bytes) -> Good:
        header = _header(content)[0]
        return cls(content, load(content), json.loads(header["__metadata__"][FORMAT]))


def damaged(goods: list[Good], seed: int, number: int) -> tuple[str, bytes]:
    """What was done, and the content of the file that came of it."""
    rng = random.Random(f"{seed}-{number}")
    name = rng.choice(list(_WAYS))
    return name, _WAYS[name](rng.choice(goods), rng)


def _header(content: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _file(header: bytes, data: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def _bytes(good: Good, rng: random.Random) -> bytes:
    """Flipped, cut, doubled, emptied or foreign bytes."""
    content = bytearray(good.content)
    # The header is short and says most.
    end = rng.choice((8, 2000, len(content) - len(_header(good.content)[1]), len(content)))
    kind = rng.randrange(7)
    place, span = rng.randrange(end), rng.choice((1, 8, 100, 10_000))
    if kind == 0:
        for _ in range(rng.choice((1, 3, 30, 1000))):
            content[rng.randrange(end)] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del content[place:]
    elif kind == 2:
        del content[place : place + span]
    elif kind == 3:
        content[place:place] = content[place : place + span]
    elif kind == 4:
        content[place : place + span] = bytes(span)
    elif kind == 5:
        content[place : place + span] = rng.randbytes(span)
    else:
        content = bytearray(rng.choice((b"", b"PK\3\4", b"\x80\4", rng.randbytes(5000))))
    return bytes(content)


def _length(good: Good, rng: random.Random) -> bytes:
    """A header whose length lies."""
    header, data = _header(good.content)
    text = json.dumps(header).encode()
    lies = (0, 1, len(text) - 1, len(text) + 1, 10**8, 10**8 + 1, 2**32, 2**63, 2**64 - 1)
    return _file(text, data, rng.choice(lies))


def _entry(good: Good, rng: random.Random) -> bytes:
    """Tensors of other shapes, types and places than there are; shapes of terabytes among them."""
    header, data = _header(good.content)
    for _ in range(rng.choice((1, 1, 2, 20))):
        entry = header[rng.choice([key for key in header if key != "__metadata__"])]
        if not isinstance(entry.get("shape"), list) or not isinstance(entry["data_offsets"], list):
            continue  # changed already
        kind = rng.randrange(4)
        if kind == 0:
            shape = entry["shape"]
            huge = [10**12], [2**40, 2**40], [0, 2**40], [2**63], [*shape, 1], shape[::-1], [-1], []
            entry["shape"] = rng.choice(huge)
        elif kind == 1:
            entry["dtype"] = rng.choice(_DTYPES)
        elif kind == 2:
            begin, end = entry["data_offsets"]
            lies = (
                [0, 2**40],
                [end, begin],
                [begin, end + 4],
                [begin, begin],
                [-4, end],
                [2**64, 0],
            )
            entry["data_offsets"] = rng.choice(lies)
        else:
            entry[rng.choice(("dtype", "more", "data_offsets", "shape"))] = _value(rng)
    return _file(json.dumps(header).encode(), data)


def _names(good: Good, rng: random.Random) -> bytes:
    """Tensors that are missing, named otherwise, or nobody asked for."""
    tensors = dict(good.tensors)
    kind, key = rng.randrange(4), rng.choice(list(tensors))
    if kind == 0:
        for key in rng.sample(list(tensors), rng.choice((1, 1, 5, len(tensors)))):
            del tensors[key]
    elif kind == 1:
        tensors[rng.choice(("../../x", "/etc/x", "a\0b", "", "x" * 10_000))] = tensors.pop(key)
    elif kind == 2:
        other = rng.choice(list(tensors))
        tensors[key], tensors[other] = tensors[other].clone(), tensors[key].clone()
    else:
        tensors |= {f"more/{i}": torch.zeros(rng.choice((0, 1))) for i in range(1000)}
    return _saved(tensors, good.description)


def _tensors(good: Good, rng: random.Random) -> bytes:
    """Numbers that are none or too large, other shapes and types."""
    tensors = dict(good.tensors)
    for _ in range(rng.choice((1, 1, 3))):
        # The few that are no weights say as much as all weights.
        few = [key for key in tensors if not key.startswith("model/extractor.")]
        key = rng.choice(rng.choice((few, list(tensors))))
        tensors[key] = _bent(tensors[key].clone(), rng)
    return _saved(tensors, good.description)


def _bent(value: torch.Tensor, rng: random.Random) -> torch.Tensor:
    kind = rng.randrange(5)
    if kind == 0:
        return value.to(rng.choice(_DTYPES_OF_TORCH))
    if kind == 1:
        sizes = ([0], [], [1], [*value.shape, 1], value.shape[::-1], [0, 2**40], [3, 3, 3, 3])
        return torch.zeros(rng.choice(sizes), dtype=value.dtype)
    if kind == 2 and value.ndim and value.numel():
        return rng.choice((value[:1], value[1:], torch.cat([value, value]), value.flip(0)))
    if not value.is_floating_point():
        limits = (-1, 0, 1, 99, 127)
        return torch.full_like(value, rng.choice(limits))
    flat = value.view(-1)
    if len(flat):
        some = rng.choice((rng.randrange(len(flat)), slice(None)))
        # Half precision has no 1e38.
        flat[some] = torch.tensor(rng.choice(_NUMBERS)).to(value.dtype)
    return value


def _value(rng: random.Random) -> Any:
    if rng.random() < 0.05:
        nested: Any = 1
        for _ in range(rng.choice((50, 200))):
            nested = rng.choice(([nested], {"a": nested}))
        return nested
    return copy.deepcopy(rng.choice(_VALUES))


def _described(good: Good, rng: random.Random) -> bytes:
    """A description that lies at one or a few places."""
    description = copy.deepcopy(good.description)
    for _ in range(rng.choice((1, 1, 1, 3, 30))):
        _lie(description, rng)
    return _saved(good.tensors, description)


def _lie(description: Any, rng: random.Random) -> None:
    """Change one place, however deep it lies."""
    place = description
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = rng.choice(keys)
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.2:
            break
        place = inner
    kind = rng.randrange(6)
    if kind == 0:
        del place[key]
    elif kind == 1 and isinstance(place, list) and len(place) < 100:
        place += [copy.deepcopy(inner) for _ in range(rng.choice((1, 20)))]
    elif kind == 2 and isinstance(place, dict):
        place[rng.choice(("more", "", "__class__", "\0", "x" * 1000))] = _value(rng)
    else:
        place[key] = _value(rng)


def _configured(good: Good, rng: random.Random) -> bytes:
    """Settings that mean something, but not these weights; networks of terabytes among them."""
    description = copy.deepcopy(good.description)
    for name in rng.sample(list(_CONFIG), rng.choice((1, 1, 2, 5))):
        description["config"][name] = rng.choice(_CONFIG[name])
    if rng.random() < 0.2:
        many = rng.choice((0, 1, 3000, 30_000))
        description["prototypes"] = description["prototypes"][:1] * many
    description["receptive_radius"] = rng.choice((96, 96, -1, 10**9, 1e999, "96", None, 0))
    return _saved(good.tensors, description)


def _text(good: Good, rng: random.Random) -> bytes:
    """A description that is no JSON, or JSON that no reader likes."""
    deep = rng.choice((100, 2000, 100_000))
    text = json.dumps(good.description)
    texts: tuple[Callable[[], str], ...] = (
        lambda: "",
        lambda: text[: rng.randrange(len(text))],
        lambda: "[" * deep + "]" * deep,
        lambda: '{"a":' * deep + "1" + "}" * deep,
        lambda: text[:-1] + ', "more": ' + "[" * deep + "]" * deep + "}",
        lambda: text[:-1] + ', "format_version": ' + "9" * rng.choice((1, 30, 5000)) + "}",
        lambda: text[:-1] + f', "format_version": {rng.choice(("1e999", "NaN", "-1", "0"))}}}',
        lambda: text.replace('"name": "', '"name": "\\ud800'),
        lambda: text.replace("0", "1e400", rng.randrange(1, 5)),
        lambda: rng.choice(("null", "[]", "3", '"x"', "{}", "\ufeff{}", "\0")),
    )
    return _written(good.tensors, {FORMAT: rng.choice(texts)()})


def _foreign(good: Good, rng: random.Random) -> bytes:
    """Metadata of another program, none, or much of it."""
    text = json.dumps(good.description)
    some: tuple[dict[str, str] | None, ...] = (
        *(None, {}, {"format": "pt"}, {FORMAT.upper(): text}, {f"{FORMAT} ": text}),
        {FORMAT: text} | {str(i): "x" * 1000 for i in range(3000)},
    )
    return _written(good.tensors, rng.choice(some))


def _deep_header(good: Good, rng: random.Random) -> bytes:
    """A header that nests without end, or that is no dictionary."""
    deep = rng.choice((100, 10_000, 10**6))
    header = rng.choice(
        ('{"a":' * deep + "1" + "}" * deep, "[" * deep + "]" * deep, "[]", "3", "{}")
    )
    return _file(header.encode(), _header(good.content)[1])


def _saved(tensors: dict[str, torch.Tensor], description: Any) -> bytes:
    return _written(tensors, {FORMAT: json.dumps(description)})


def _written(tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None) -> bytes:
    """A file; quicker than the library's own writer, which looks for memory that is shared."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    parts, place = [], 0
    for key, value in tensors.items():
        raw = value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        kind, end = _NAMES[value.dtype], place + len(raw)
        entry = {"dtype": kind, "shape": list(value.shape), "data_offsets": [place, end]}
        header[key] = entry
        parts.append(raw)
        place = end
    return _file(json.dumps(header).encode(), b"".join(parts))


_WAYS: dict[str, Callable[[Good, random.Random], bytes]] = {
    "bytes": _bytes,
    "length of the header": _length,
    "entries of the header": _entry,
    "names of tensors": _names,
    "numbers": _tensors,
    "description": _described,
    "configuration": _configured,
    "text of the description": _text,
    "foreign": _foreign,
    "deep header": _deep_header,
}
