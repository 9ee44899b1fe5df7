"""Small images of every format, written by the tests, and what each must read as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from vendor_files import write_czi, write_dicom, write_lif, write_nd2


@dataclass(frozen=True)
class Example:
    """What a file written by the test must read as."""

    axes: str
    truth: np.ndarray
    pixel_size: dict[str, float] | None = None
    channels: tuple[str, ...] | None = None
    levels: int = 1


def numbers(*shape: int, dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(len(shape)).integers(0, 250, shape).astype(dtype)


def tiff_plain(path: Path) -> Example:
    truth = numbers(45, 61)
    tifffile.imwrite(path, truth, compression="zlib", rowsperstrip=7, predictor=True)
    return Example("YX", truth, channels=("grey",))


def tiff_big_endian_planar(path: Path) -> Example:
    truth = numbers(3, 48, 64)
    tifffile.imwrite(path, truth, photometric="rgb", planarconfig="separate", byteorder=">", bigtiff=True)
    return Example("CYX", truth, channels=("red", "green", "blue"))


def tiff_ome(path: Path) -> Example:
    truth = numbers(2, 3, 4, 40, 56)
    meta = {
        "axes": "TCZYX",
        "PhysicalSizeX": 650,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.65,
        "PhysicalSizeYUnit": "µm",
        "PhysicalSizeZ": 2,
        "PhysicalSizeZUnit": "µm",
        "Channel": {"Name": ["DAPI", "TUJ1", "GFAP"]},
    }
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(truth, subifds=1, tile=(16, 16), compression="lzw", metadata=meta)
        file.write(truth[..., ::2, ::2], subfiletype=1, tile=(16, 16), compression="lzw")
    return Example("TCZYX", truth, {"Z": 2, "Y": 0.65, "X": 0.65}, ("DAPI", "TUJ1", "GFAP"), levels=2)


def tiff_imagej(path: Path) -> Example:
    truth = numbers(3, 2, 4, 32, 40)
    tifffile.imwrite(
        path,
        truth.transpose(0, 2, 1, 3, 4),
        imagej=True,
        resolution=(2.0, 4.0),
        metadata={"axes": "TZCYX", "unit": "micron", "spacing": 1.5},
    )
    return Example("TCZYX", truth, {"Z": 1.5, "Y": 0.25, "X": 0.5})


def tiff_bigtiff_tiled_jpeg(path: Path) -> Example:
    smooth = np.linspace(0, 250, 3 * 90 * 120).reshape(90, 120, 3).astype("uint8")
    tifffile.imwrite(path, smooth, bigtiff=True, tile=(32, 48), compression="jpeg", photometric="rgb")
    return Example("CYX", tifffile.imread(path).transpose(2, 0, 1), channels=("red", "green", "blue"))


def tiff_pyramid_of_pages(path: Path) -> Example:
    """Levels as pages of their own that say so, not as SubIFDs."""
    truth = numbers(96, 128)
    with tifffile.TiffWriter(path) as file:
        for step in (1, 2, 4):
            resolution = {"resolution": (20_000 / step, 20_000 / step), "resolutionunit": "CENTIMETER"}
            tiles = {"tile": (16, 16), "compression": "zlib", "metadata": None}
            file.write(truth[::step, ::step], subfiletype=int(step > 1), **tiles, **resolution)
    return Example("YX", truth, {"Y": 0.5, "X": 0.5}, levels=3)


def png(path: Path) -> Example:
    truth = numbers(3, 33, 47)
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(truth.transpose(1, 2, 0))))
    return Example("CYX", truth, channels=("red", "green", "blue"))


def jpeg(path: Path) -> Example:
    data = imagecodecs.jpeg8_encode(numbers(33, 47, dtype="uint8"), level=95)
    path.write_bytes(data)
    return Example("YX", imagecodecs.jpeg8_decode(data))


def webp(path: Path) -> Example:
    truth = numbers(33, 47, 3, dtype="uint8")
    path.write_bytes(imagecodecs.webp_encode(truth, lossless=True))
    return Example("CYX", truth.transpose(2, 0, 1), channels=("red", "green", "blue"))


def webp_lossy_with_alpha(path: Path) -> Example:
    data = imagecodecs.webp_encode(numbers(40, 50, 4, dtype="uint8"), level=80)
    path.write_bytes(data)
    return Example("CYX", imagecodecs.webp_decode(data, hasalpha=False).transpose(2, 0, 1))


def bmp(path: Path) -> Example:
    truth = numbers(21, 30, 3, dtype="uint8")
    path.write_bytes(imagecodecs.bmp_encode(truth))
    return Example("CYX", truth.transpose(2, 0, 1))


def npy(path: Path) -> Example:
    truth = numbers(9, 30, 41).astype(">f4")
    np.save(path, np.asfortranarray(truth))
    return Example("TYX", truth)


def ome_zarr(version: int) -> Callable[[Path], Example]:
    """Write OME-Zarr 0.4 on zarr 2, or 0.5 on zarr 3, the second sharded."""

    def write(path: Path) -> Example:
        import zarr

        truth = numbers(2, 3, 50, 70)
        group = zarr.open_group(path, mode="w", zarr_format=version)
        axes = [{"name": "c", "type": "channel"}]
        axes += [{"name": a, "type": "space", "unit": "nanometer"} for a in "zyx"]
        datasets = []
        for level, step in enumerate((1, 2)):
            pixels = truth[..., ::step, ::step]
            shards = (1, 3, 32, 32) if version == 3 else None
            array = group.create_array(str(level), shape=pixels.shape, dtype="u2", chunks=(1, 1, 16, 16), shards=shards)
            array[:] = pixels
            scale = [1, 1000, 325 * step, 325 * step]
            datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
        facts = {
            "multiscales": [{"axes": axes, "datasets": datasets, "version": "0.4"}],
            "omero": {"channels": [{"label": "phase"}, {"label": "GFP"}]},
        }
        group.attrs.update(facts if version == 2 else {"ome": {"version": "0.5", **facts}})
        return Example("CZYX", truth, {"Z": 1.0, "Y": 0.325, "X": 0.325}, ("phase", "GFP"), levels=2)

    return write


def nd2(path: Path) -> Example:
    frames = numbers(3, 2, 4, 30, 41)
    write_nd2(path, frames, 0.5, ("DAPI", "GFP", "RFP", "BF"))
    size = {"Z": 1.5, "Y": 0.5, "X": 0.5}
    return Example("TCZYX", frames.transpose(0, 2, 1, 3, 4), size, ("DAPI", "GFP", "RFP", "BF"))


def czi(path: Path) -> Example:
    truth = numbers(3, 2, 4, 30, 41)
    write_czi(path, [truth], 0.5, ("DAPI", "GFP"))
    return Example("TCZYX", truth, {"Z": 1.5, "Y": 0.5, "X": 0.5}, ("DAPI", "GFP"))


def czi_colour(path: Path) -> Example:
    truth = numbers(1, 1, 1, 30, 41, 3, dtype="uint8")
    write_czi(path, [truth])
    return Example("CYX", truth[0, 0, 0].transpose(2, 0, 1), channels=("red", "green", "blue"))


def lif(path: Path) -> Example:
    frames = numbers(3, 2, 2, 30, 41)
    write_lif(path, {"one": frames}, 0.5, ("Green", "Red"))
    return Example("TCZYX", frames.transpose(0, 2, 1, 3, 4), {"Z": 1.5, "Y": 0.5, "X": 0.5}, ("Green", "Red"))


def dicom(path: Path) -> Example:
    truth = numbers(5, 30, 41)
    write_dicom(path, truth, 0.65, FrameTime=40.0)
    return Example("TYX", truth, {"Y": 0.65, "X": 0.65}, ("grey",))


def dicom_colour(path: Path) -> Example:
    truth = numbers(30, 41, 3, dtype="uint8")
    write_dicom(path, truth)
    return Example("CYX", truth.transpose(2, 0, 1), channels=("red", "green", "blue"))


EXAMPLES: dict[str, tuple[Callable[[Path], Example], ...]] = {
    "tiff": (tiff_plain, tiff_big_endian_planar, tiff_ome, tiff_imagej, tiff_bigtiff_tiled_jpeg, tiff_pyramid_of_pages),
    "photo": (png, jpeg, webp, webp_lossy_with_alpha, bmp),
    "zarr": (ome_zarr(2), ome_zarr(3)),
    "npy": (npy,),
    "nd2": (nd2,),
    "czi": (czi, czi_colour),
    "lif": (lif,),
    "dicom": (dicom, dicom_colour),
}
