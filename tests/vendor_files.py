"""Writes small files as microscopes and scanners do: ND2, CZI, LIF and DICOM, from an array and what is known of it."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# ------------------------------------------------------------------------------------------------------------- Zeiss


def write_czi(path: Path, scenes: Sequence[np.ndarray], um: float | None = None, names: Sequence[str] = ()) -> None:
    """Write scenes (T, C, Z, Y, X) or (T, C, Z, Y, X, 3) side by side with Zeiss's own library."""
    from pylibCZIrw import czi

    with czi.create_czi(str(path)) as file:
        left = 0
        for number, scene in enumerate(scenes):
            for t, c, z in np.ndindex(scene.shape[:3]):
                plane = scene[t, c, z]
                plane = plane[..., ::-1] if plane.ndim == 3 else plane[..., np.newaxis]
                place = {"T": t, "C": c, "Z": z}
                file.write(np.ascontiguousarray(plane), plane=place, location=(left, 0), scene=number)
            left += scene.shape[4] + 17
        metres = 0.0 if um is None else um * 1e-6
        file.write_metadata("made by a test", channel_names=dict(enumerate(names)), scale_x=metres, scale_y=metres,
                            scale_z=3 * metres)


# ------------------------------------------------------------------------------------------------------------- Leica


def write_lif(path: Path, images: Mapping[str, np.ndarray], um: float, luts: Sequence[str]) -> None:
    """Write images (T, Z, C, Y, X) as LAS X lays them out: a header of XML, then a block of memory each."""
    elements = []
    for number, (name, image) in enumerate(images.items()):
        item = image.itemsize
        channels = "".join(
            f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="{8 * item}" '
            'NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" '
            f'LUTName="{lut}" IsLUTInverted="0" BytesInc="{c * image.strides[2]}" BitInc="0"/>'
            for c, lut in enumerate(luts))
        steps = {1: (image.shape[4], item, um), 2: (image.shape[3], image.strides[3], um),
                 3: (image.shape[1], image.strides[1], 3 * um), 4: (image.shape[0], image.strides[0], 0)}
        dimensions = "".join(
            f'<DimensionDescription DimID="{key}" NumberOfElements="{count}" Origin="0" '
            f'Length="{step * 1e-6 * (count - 1)}" Unit="{"s" if key == 4 else "m"}" BytesInc="{inc}" BitInc="0"/>'
            for key, (count, inc, step) in steps.items() if count > 1)
        elements.append(
            f'<Element Name="{name}" UniqueID="u{number}"><Data><Image><ImageDescription>'
            f"<Channels>{channels}</Channels><Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
            f'<Memory Size="{image.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>')
    xml = ('<LMSDataContainerHeader Version="2"><Element Name="made by a test" UniqueID="u"><Children>'
           f"{''.join(elements)}</Children></Element></LMSDataContainerHeader>").encode("utf-16-le")
    with path.open("wb") as file:
        file.write(struct.pack("<IIBI", 0x70, len(xml) + 5, 0x2A, len(xml) // 2) + xml)
        for number, image in enumerate(images.values()):
            block = f"MemBlock_{number}".encode("utf-16-le")
            file.write(struct.pack("<IIBQBI", 0x70, 14 + len(block), 0x2A, image.nbytes, 0x2A, len(block) // 2) + block)
            file.write(image.astype(image.dtype.newbyteorder("<")).tobytes())


# ------------------------------------------------------------------------------------------------------------- Nikon


def write_nd2(path: Path, frames: np.ndarray, um: float, names: Sequence[str], position: bool = False,
              probes: bool = True) -> None:
    """Write frames (T or P, Z, C, Y, X) as NIS-Elements 4 does: named chunks, and a map of them at the end."""
    loops, planes, channels, height, width = frames.shape
    points = [{"dPosX": float(i), "dPosY": 0.0, "dPosZ": 0.0, "dPosName": f"p{i}"} for i in range(loops)]
    timed = {"uiCount": loops, "dStart": 0.0, "dPeriod": 1000.0, "dDuration": 0.0}
    placed = {"uiCount": loops, "Points": {"": points}}
    first = {"eType": 2, "uLoopPars": placed} if position else {"eType": 1, "uLoopPars": timed}
    stack = {"uiCount": planes, "dZLow": 0.0, "dZHigh": 3 * um * (planes - 1), "dZStep": 3 * um, "dZHome": 0.0}
    deep = {"eType": 4, "uLoopPars": {**stack, "bAbsolute": True, "bZInverted": False}}
    bits = 8 * frames.itemsize
    chunks = {
        "ImageAttributesLV!": variant({"SLxImageAttributes": {
            "uiWidth": width, "uiWidthBytes": width * channels * frames.itemsize, "uiHeight": height,
            "uiComp": channels,
            "uiBpcInMemory": bits, "uiBpcSignificant": bits, "uiSequenceCount": loops * planes, "eCompression": 2}}),
        "ImageMetadataSeqLV|0!": variant({"SLxPictureMetadata": {
            "bCalibrated": True, "dCalibration": um, "dXPos": 0.0, "dYPos": 0.0, "dZPos": 0.0, "dTimeAbsolute": 0.0,
            "sPicturePlanes": {"uiCount": channels, "sPlaneNew": {
                f"a{i}": {"uiCompCount": 1, "uiSampleIndex": i, "sDescription": name, **({"pFluorescentProbe": {
                    key: {"uiCount": 1, "pPoint": {"Point0": {"eType": 1, "dWavelength": 488.0, "dTValue": 1.0}}}
                    for key in ("m_ExcitationSpectrum", "m_EmissionSpectrum")}} if probes else {})}
                for i, name in enumerate(names)}}}}),
        "ImageMetadataLV!": variant({"SLxExperiment": {**first, "ppNextLevelEx": {"": [deep]}}}),
    }
    for i, frame in enumerate(frames.reshape(-1, channels, height, width)):
        # Components lie together in a pixel, behind eight bytes of the time.
        chunks[f"ImageDataSeq|{i}!"] = bytes(8) + frame.transpose(1, 2, 0).tobytes()
    with path.open("wb") as file:
        places = {}
        write_chunk(file, b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0".ljust(64, b"\0"), 32)
        for name, data in chunks.items():
            places[name.encode()] = (file.tell(), len(data))
            write_chunk(file, name.encode(), data, 4072)
        where = file.tell()
        end = b"ND2 CHUNK MAP SIGNATURE 0000001!"
        table = b"".join(name + struct.pack("<QQ", *place) for name, place in places.items())
        table += end + struct.pack("<Q", where)
        write_chunk(file, b"ND2 FILEMAP SIGNATURE NAME 0001!", table, 32)


def write_chunk(file: Any, name: bytes, data: bytes, room: int) -> None:
    file.write(struct.pack("<IIQ", 0x0ABECEDA, room, len(data)) + name.ljust(room, b"\0") + data)


def variant(content: Mapping[str, Any]) -> bytes:
    """Encode names and values as NIS-Elements does (its "lite variant"): type, length of name, name, value."""
    out = b""
    for name, value in content.items():
        for one in value if isinstance(value, list) else [value]:
            spelt = (name + "\0").encode("utf-16-le")
            if isinstance(one, Mapping):
                kind, inner = 11, variant(one)
                count = sum(len(v) if isinstance(v, list) else 1 for v in one.values())
                body = struct.pack("<IQ", count, 2 + len(spelt) + 12 + len(inner)) + inner + bytes(8 * count)
            elif isinstance(one, bool):
                kind, body = 1, struct.pack("<B", one)
            elif isinstance(one, int):
                kind, body = 3, struct.pack("<I", one)
            elif isinstance(one, float):
                kind, body = 6, struct.pack("<d", one)
            else:
                kind, body = 8, (str(one) + "\0").encode("utf-16-le")
            out += struct.pack("<BB", kind, len(spelt) // 2) + spelt + body
    return out


# ------------------------------------------------------------------------------------------------------------- DICOM


def write_dicom(path: Path, pixels: np.ndarray, um: float | None = None, **tags: Any) -> None:
    """Write frames (Y, X), (frames, Y, X) or (Y, X, 3) of a patient who has a name, as a secondary capture."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MultiFrameGrayscaleWordSecondaryCaptureImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["a test"])
    made = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.PatientName, made.PatientID, made.PatientBirthDate = "Secret^Patient", "SECRET-4711", "19700101"
    colour = pixels.shape[-1] == 3 and pixels.ndim == 3
    made.Rows, made.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    made.SamplesPerPixel, made.PhotometricInterpretation = (3, "RGB") if colour else (1, "MONOCHROME2")
    if colour:
        made.PlanarConfiguration = 0
    elif pixels.ndim == 3:
        made.NumberOfFrames = len(pixels)
    made.BitsAllocated = made.BitsStored = 8 * pixels.itemsize
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(pixels.dtype.kind == "i")
    if um is not None:
        made.PixelSpacing = [um / 1000, um / 1000]
    for name, value in tags.items():
        setattr(made, name, value)
    made.PixelData = np.ascontiguousarray(pixels).tobytes()
    made.save_as(path, enforce_file_format=True)
