#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the goldens of Tests/ImagingTests: pictures of every kind and what Pillow makes of them.

    Tools/parity/imaging.py [--out Tests/ImagingTests/Fixtures]

Needs numpy, opencv, pillow. The PNGs come from a small writer of this script's own, since Pillow writes only some of the
colour types, and none interlaced.
"""
import argparse
import base64
import io
import json
import pathlib
import struct
import zlib

import cv2
import numpy as np
from PIL import Image, ImageOps

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def rows(samples, depth):
    """Scanlines of samples [h, w, c] with filter 0."""
    out = b""
    for row in samples:
        flat = row.reshape(-1)
        if depth == 16:
            data = flat.astype(">u2").tobytes()
        elif depth == 8:
            data = flat.astype(np.uint8).tobytes()
        else:
            bits = ((flat[:, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
            data = np.packbits(bits.reshape(-1)).tobytes()
        out += b"\0" + data
    return out


def png(samples, color, depth, interlaced=False, extra=b""):
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    if interlaced:
        passes = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7]
        data = b"".join(rows(p, depth) for p in passes if p.size)
    else:
        data = rows(samples, depth)
    packed = zlib.compress(data)
    half = len(packed) // 2
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra
            + chunk(b"IDAT", packed[:half]) + chunk(b"IDAT", packed[half:]) + chunk(b"IEND", b""))


def photo(rng, width, height):
    """Something like a photograph: soft colours, an edge, some noise. [h, w, 3] uint8"""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    base = np.stack([128 + 100 * np.sin(x / 5 + c) * np.cos(y / 7 - c) for c in range(3)], -1)
    base[(x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(width, height) / 4) ** 2] = rng.uniform(0, 255, 3)
    return np.clip(base + rng.normal(0, 12, base.shape), 0, 255).astype(np.uint8)


def jpeg(picture, **options):
    out = io.BytesIO()
    picture.save(out, "JPEG", **options)
    return out.getvalue()


def exif(orientation, order="<"):
    tiff = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    return tiff + struct.pack(order + "HHHIHHHHIHHI", 2, 0x0112, 3, 1, orientation, 0, 0x0128, 3, 1, 2, 0, 0)


def pictures(rng):
    width, height = 37, 29
    for color, depths in {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16),
                          RGB_ALPHA: (8, 16)}.items():
        for depth in depths:
            samples = rng.integers(0, 1 << depth, (height, width, CHANNELS[color]))
            extra = b""
            if color == PALETTE:
                extra = chunk(b"PLTE", rng.integers(0, 256, (1 << depth, 3)).astype(np.uint8).tobytes())
            kinds = {"": extra}
            if color == PALETTE:
                kinds["-trns"] = extra + chunk(b"tRNS", rng.integers(0, 256, 1 << depth).astype(np.uint8).tobytes())
            elif color in (GREY, RGB):
                kinds["-trns"] = chunk(b"tRNS", samples[0, 0].astype(">u2").tobytes())
            for kind, chunks in kinds.items():
                for interlaced in (False, True):
                    name = f"png-color{color}-depth{depth}{kind}{'-interlaced' if interlaced else ''}"
                    yield name, png(samples, color, depth, interlaced, chunks)
    small = rng.integers(0, 256, (1, 1, 3))
    yield "png-1x1", png(small, RGB, 8)
    yield "png-1x1-interlaced", png(small, RGB, 8, True)
    gamma = chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"sRGB", b"\0")
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 100_000))
    yield "png-gamma-text", png(rng.integers(0, 256, (height, width, 3)), RGB, 8, False, gamma + text)
    for orientation in range(1, 9):
        yield f"png-orientation{orientation}", png(
            rng.integers(0, 256, (5, 7, 3)), RGB, 8, False, chunk(b"eXIf", exif(orientation, ">")))

    for w, h in [(37, 29), (1, 1), (8, 8), (16, 17), (101, 3)]:
        picture = Image.fromarray(photo(rng, w, h))
        for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
            for progressive in (False, True):
                name = f"jpeg-{w}x{h}-{subsampling.replace(':', '')}{'-progressive' if progressive else ''}"
                yield name, jpeg(picture, quality=int(rng.integers(30, 98)), subsampling=subsampling,
                                 progressive=progressive)
    picture = Image.fromarray(photo(rng, width, height))
    for name, factor in {"440": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440, "411": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411}.items():
        ok, data = cv2.imencode(".jpg", np.asarray(picture), [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor])
        yield f"jpeg-{name}", data.tobytes()
    yield "jpeg-grey", jpeg(picture.convert("L"), quality=80)
    yield "jpeg-grey-progressive", jpeg(picture.convert("L"), quality=80, progressive=True)
    yield "jpeg-rgb", jpeg(picture, quality=80, keep_rgb=True)
    yield "jpeg-restarts", jpeg(picture, quality=80, restart_marker_blocks=2)
    yield "jpeg-optimised", jpeg(picture, quality=80, optimize=True)
    yield "jpeg-quality5", jpeg(picture, quality=5)
    yield "jpeg-comment", jpeg(picture, quality=70, comment=b"hello")
    cmyk = Image.fromarray(rng.integers(0, 256, (height, width, 4)).astype(np.uint8), "CMYK")
    for quality in (60, 95):
        data = jpeg(cmyk, quality=quality)
        yield f"jpeg-cmyk-quality{quality}", data
        at = data.index(b"Adobe") + 11  # the colour transform: 0 is CMYK, 2 is YCCK
        assert data[at] == 0
        yield f"jpeg-ycck-quality{quality}", data[:at] + b"\2" + data[at + 1:]
    for orientation in range(0, 10):
        for order in "<>":
            yield f"jpeg-orientation{orientation}-{'little' if order == '<' else 'big'}", jpeg(
                Image.fromarray(photo(rng, 13, 9)), quality=75, exif=b"Exif\0\0" + exif(orientation, order))


def expected(name, data):
    picture = Image.open(io.BytesIO(data))
    if "color0-depth16" in name:  # Pillow cuts at 255; Pandion takes the high byte, as cv2 does
        grey = (np.asarray(picture).astype(np.uint32) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, -1)
    return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))


def pattern(width, height):
    """The same picture as `Image.pattern` in the Swift tests."""
    y, x = np.mgrid[0:height, 0:width].astype(np.uint32)
    return np.stack([(x * 7 + y * 13 + (x * y) % 251 * (c + 1)) & 255 for c in range(3)], -1).astype(np.uint8)


def text(data):
    return base64.b64encode(data).decode()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="Tests/ImagingTests/Fixtures")
    options = parser.parse_args()
    rng = np.random.default_rng(4)
    out = pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)

    decoded = []
    for name, data in pictures(rng):
        rgb = expected(name, data)
        decoded.append({"name": name, "width": rgb.shape[1], "height": rgb.shape[0], "file": text(data),
                        "rgb": text(rgb.tobytes())})
    (out / "decode.json").write_text(json.dumps(decoded, indent=0) + "\n")

    filters = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
    source = rng.integers(0, 256, (37, 53, 3)).astype(np.uint8)
    source[10:25, 12:40] = np.where(rng.random((15, 28, 1)) < 0.5, 0, 255)  # overshoot needs clipping
    sizes = [(53, 37), (1, 1), (7, 5), (52, 36), (54, 38), (53, 11), (20, 37), (106, 74), (101, 19), (13, 90), (27, 19)]
    resized = []
    for name, kind in filters.items():
        for width, height in sizes:
            result = Image.fromarray(source).resize((width, height), kind)
            resized.append({"filter": name, "width": width, "height": height, "rgb": text(result.tobytes())})
    checksums = []
    for size, target in [((2000, 1500), (1024, 768)), ((1, 1), (31, 17)), ((641, 479), (1024, 765)),
                         ((333, 1000), (341, 1024)), ((1000, 2), (3, 700)), ((480, 640), (512, 512)),
                         ((640, 480), (512, 512)), ((768, 1024), (512, 512)), ((1080, 1920), (512, 512))]:
        for name, kind in filters.items():
            result = Image.fromarray(pattern(*size)).resize(target, kind)
            checksums.append({"filter": name, "from": size, "to": target, "adler32": zlib.adler32(result.tobytes())})
    (out / "resize.json").write_text(json.dumps(
        {"width": 53, "height": 37, "rgb": text(source.tobytes()), "results": resized, "checksums": checksums},
        indent=0) + "\n")
    print(f"{len(decoded)} pictures, {len(resized) + len(checksums)} resizings in {out}")


if __name__ == "__main__":
    main()
