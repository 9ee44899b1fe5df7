"""Chunks of a zarr array that may not unpack to more than they should: no chunk is a bomb."""

from __future__ import annotations

import bz2
import lzma
import math
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import zarr
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import ShardingCodec

from potency.errors import ImageError

FREE = 2**26  # bytes; below this nobody minds
SPARE = 4  # times what a chunk holds: filters may make numbers wider than they are
BLOCK = 128 * 2**10  # bytes that a block of zstd unpacks to, at most (RFC 8878, 3.1.1.2.4)
ZSTD = b"\x28\xb5\x2f\xfd"


def bounded(array: Any) -> Any:
    """The same array, no chunk of which unpacks to much more than a chunk holds; it is an ImageError then."""
    limit = max(FREE, SPARE * math.prod(array.chunks) * np.dtype(array.dtype).itemsize)
    facts = array.metadata
    if facts.zarr_format == 3:
        facts = replace(facts, codecs=tuple(_checked(codec, limit) for codec in facts.codecs))
    elif facts.compressor is not None:
        facts = replace(facts, compressor=_Compressor(facts.compressor, limit))
    return zarr.Array(zarr.AsyncArray(metadata=facts, store_path=array.store_path))


def _checked(codec: Any, limit: int) -> Any:
    if isinstance(codec, ShardingCodec):
        return replace(codec, codecs=tuple(_checked(inner, limit) for inner in codec.codecs))
    return _Codec(codec, limit) if isinstance(codec, BytesBytesCodec) else codec


def unpacked(data: bytes, name: str, limit: int) -> bytes | None:
    """A chunk unpacked under the codec of that name; None where its own decoder may do it, for it is no bomb.

    Raises:
        ImageError: it unpacks to more than `limit` bytes.
    """
    name = name.removeprefix("numcodecs.")
    if name in STATED:
        if STATED[name](data) > limit:
            raise bomb(data, limit)
        return None
    return _piece_by_piece(STARTS[name], data, limit) if name in STARTS else None


def bomb(data: bytes, limit: int) -> ImageError:
    """Say that a chunk unpacks to too much."""
    return ImageError(f"a chunk of {len(data)} bytes unpacks to more than {limit // 2**20} MiB", "",
                      "the folder is damaged or a bomb; copy it again from where it was made")  # fmt: skip


def _piece_by_piece(start: Callable[[], Any], data: bytes, limit: int) -> bytes:
    """Deflate and its like say nothing of how much they hold that could be believed: unpacked up to the limit."""
    pieces, room = [], limit
    while data:
        machine = start()
        pieces.append(machine.decompress(data, room + 1))
        room -= len(pieces[-1])
        if room < 0:
            raise bomb(data, limit)
        if not machine.eof:
            raise ValueError("a chunk is cut short")
        data = machine.unused_data
    return b"".join(pieces)


def _of_zstd(data: bytes) -> int:
    """What the header of a zstd frame says, or what its blocks can hold at most, if that is more (RFC 8878, 3.1.1)."""
    if not data.startswith(ZSTD):
        return 0  # its decoder will say that it is none
    flags = data[4]
    width = max((0, 2, 4, 8)[flags >> 6], flags >> 5 & 1)
    at = 5 + (not flags >> 5 & 1) + (0, 1, 2, 4)[flags & 3]
    stated = int.from_bytes(data[at : at + width], "little")
    at, total, last = at + width, 0, False
    while not last and at + 3 <= len(data):
        header = int.from_bytes(data[at : at + 3], "little")
        last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        total += size if kind < 2 else BLOCK
        at += 3 + (1 if kind == 1 else size)
    return max(total, stated)


# Codecs whose chunks say how much room they need, which is set aside before they are unpacked; and how that is read.
STATED: Mapping[str, Callable[[bytes], int]] = {
    "blosc": lambda data: int(struct.unpack_from("<I", data, 4)[0]),
    "lz4": lambda data: int(struct.unpack_from("<I", data, 0)[0]),
    "zstd": _of_zstd,
}
STARTS: Mapping[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(wbits=31), "zlib": zlib.decompressobj, "bz2": bz2.BZ2Decompressor,
    "lzma": lzma.LZMADecompressor,
}  # fmt: skip


class _Compressor:
    """A compressor of zarr 2 that unpacks within a limit; for reading only."""

    codec_id = ""  # zarr looks for it at the class

    def __init__(self, codec: Any, limit: int) -> None:
        self.codec, self.limit, self.codec_id = codec, limit, codec.codec_id

    def decode(self, buf: Any, out: Any = None) -> Any:
        found = unpacked(bytes(buf), self.codec_id, self.limit)
        return self.codec.decode(buf, out) if found is None else np.frombuffer(found, np.uint8)

    def encode(self, buf: Any) -> Any:
        return self.codec.encode(buf)

    def get_config(self) -> Any:
        return self.codec.get_config()

    @classmethod
    def from_config(cls, config: Any) -> Any:
        raise NotImplementedError("made around a codec that is there")


@dataclass(frozen=True)
class _Codec(BytesBytesCodec):
    """A codec of zarr 3 that unpacks within a limit; for reading only."""

    codec: Any
    limit: int
    is_fixed_size = False

    def evolve_from_array_spec(self, array_spec: Any) -> _Codec:
        return replace(self, codec=self.codec.evolve_from_array_spec(array_spec))

    def to_dict(self) -> Any:
        return self.codec.to_dict()

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        return int(self.codec.compute_encoded_size(input_byte_length, chunk_spec))

    async def _decode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        found = unpacked(chunk_data.to_bytes(), str(self.codec.to_dict()["name"]), self.limit)
        if found is not None:
            return chunk_spec.prototype.buffer.from_bytes(found)
        return await self.codec._decode_single(chunk_data, chunk_spec)
