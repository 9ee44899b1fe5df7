"""Read the pixel size and the channel names that TIFF dialects (OME, ImageJ, LSM, Aperio, plain) write down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

import tifffile

from potency.data.pixels import believable
from potency.data.readers.resolution import from_resolution, in_um

UNITS = {2: "inch", 3: "cm", 4: "mm", 5: "um"}  # ResolutionUnit; 4 and 5 are not in TIFF 6.0 but are written
SECONDS = {"ms": 1e-3, "msec": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0, "hour": 3600.0, "d": 86400.0}
PRINTED = ("inch", "in", "cm")  # the units in which printers and screens count


def pixel_size(file: tifffile.TiffFile, series: int = 0) -> Mapping[str, float] | None:
    """Give um by axis, or None where the file says nothing that a microscope can have."""
    if file.is_ome:
        attributes = ome(file, series)[0]
        return believable(
            {a: in_um(attributes.get(f"PhysicalSize{a}"), attributes.get(f"PhysicalSize{a}Unit", "um")) for a in "ZYX"}
        )
    if file.is_lsm and file.lsm_metadata:
        return believable({a: in_um(file.lsm_metadata.get(f"VoxelSize{a}"), "m") for a in "ZYX"})
    page = file.pages.first
    if file.is_svs:
        found = re.search(r"\|\s*MPP\s*=\s*([0-9.]+)", page.description)
        return believable(dict.fromkeys("YX", in_um(found[1], "um"))) if found else None
    imagej = file.imagej_metadata or {}
    shaped = (file.shaped_metadata or ({},))[0]
    if "PhysicalSizeX" in shaped:
        return believable(
            {a: in_um(shaped.get(f"PhysicalSize{a}"), shaped.get(f"PhysicalSize{a}Unit", "um")) for a in "ZYX"}
        )
    unit = str(imagej.get("unit", "")) if file.is_imagej else UNITS.get(int(page.resolutionunit), "")
    one = in_um(1, unit)
    if one is None:
        return None
    x, y = page.resolution
    sizes = from_resolution(x, y, one, measured=unit.lower() not in PRINTED)
    spacing = in_um(imagej.get("spacing", shaped.get("spacing")), unit)
    return believable({**sizes, "Z": spacing}) if sizes else None


def interval(file: tifffile.TiffFile, series: int = 0) -> float | None:
    """Give the seconds from one time to the next, or None where the file does not say them."""
    if file.is_ome:
        attributes = ome(file, series)[0]
        found, unit = attributes.get("TimeIncrement"), attributes.get("TimeIncrementUnit", "s")
    else:
        imagej = file.imagej_metadata or {}
        found, unit = imagej.get("finterval"), str(imagej.get("tunit", "sec"))
    return in_um(found, unit, SECONDS)


def channel_names(file: tifffile.TiffFile, count: int, series: int = 0) -> tuple[str, ...] | None:
    """Give the names of `count` channels if the file names them all."""
    names: list[str] = []
    if file.is_ome:
        for channel in ome(file, series)[1]:
            name, samples = channel.get("Name", ""), int(channel.get("SamplesPerPixel", 1))
            names += [f"{name}.{part}" for part in ("red", "green", "blue")] if samples == 3 else [name]
    elif file.shaped_metadata:
        known = file.shaped_metadata[0].get("Channel")
        found = known.get("Name") if isinstance(known, dict) else None
        names = [found] if isinstance(found, str) else list(found or ())
    whole = len(names) == count and all(name and not name.startswith(".") for name in names)
    return tuple(names) if whole else None


def ome(file: tifffile.TiffFile, series: int = 0) -> tuple[Mapping[str, str], list[Mapping[str, str]]]:
    """Give the attributes of one image of the OME-XML and those of its channels; nothing if it is broken."""
    try:
        root = ElementTree.fromstring(file.ome_metadata or "")
    except ElementTree.ParseError:
        return {}, []
    images = root.findall("./{*}Image/{*}Pixels")
    if series >= len(images):
        return {}, []
    pixels = images[series]
    return pixels.attrib, [channel.attrib for channel in pixels.findall("{*}Channel")]
