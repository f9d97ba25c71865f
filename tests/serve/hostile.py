"""Uploads that mean harm, or were damaged on the way: each with what it is."""

import io
import random
import struct
import zlib
from collections.abc import Iterator

from PIL import Image, PngImagePlugin


def picture(kind: str, size: tuple[int, int] = (40, 30), mode: str = "RGB", **more: object) -> bytes:
    """A whole picture of random colours."""
    chance = random.Random(0)
    image = Image.frombytes("RGB", size, chance.randbytes(size[0] * size[1] * 3)).convert(mode)
    written = io.BytesIO()
    image.save(written, kind, **more)
    return written.getvalue()


def png(width: int, height: int, data: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG whose header may say anything."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def refused() -> Iterator[tuple[str, bytes]]:
    """What is no usable picture: each has to be told why, with status 422 or 413."""
    yield "nothing", b""
    yield "one byte", b"\xff"
    yield "text", b"just words " * 50
    yield "zeros", bytes(5000)
    for seed in range(10):
        yield f"noise {seed}", random.Random(seed).randbytes(3000)
    yield "html", b"<!doctype html><script>alert(1)</script>"
    yield "svg", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    yield (
        "svg with entities",
        (b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>'),
    )
    yield (
        "svg of billions",
        b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><svg>&b;</svg>',
    )
    yield "pdf", b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n"
    yield "postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) (r) file\n"
    yield "postscript behind a JPEG's name", b"\xff\xd8\xff%!PS-Adobe-3.0 EPSF-3.0\n"
    yield "zip", b"PK\x03\x04" + bytes(100)
    yield "gzip of a picture", zlib.compress(picture("PNG"))
    yield "program", b"\x7fELF" + bytes(200)
    yield "pickle", b"\x80\x04\x95cos\nsystem\n(S'true'\ntR."
    yield "tiff", picture("TIFF")
    yield "icon", picture("ICO")
    yield "heif", b"\x00\x00\x00\x18ftypheic" + bytes(100)
    yield "psd", b"8BPS\x00\x01" + bytes(40)
    yield "fits", b"SIMPLE  =                    T" + bytes(3000)
    yield "numpy", b"\x93NUMPY\x01\x00v\x00" + bytes(200)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP"):
        whole = picture(kind)
        yield f"only the beginning of a {kind}", whole[:12]
        for part in (0.3, 0.6, 0.9) if kind not in ("JPEG",) else (0.1, 0.3, 0.5):
            yield f"{part:.0%} of a {kind}", whole[: int(len(whole) * part)]
        if kind != "GIF":  # its frames have sizes of their own
            yield f"a {kind} that says it is empty", _without_size(kind, whole)
    rows = b"".join(b"\x00" + bytes(30) for _ in range(10))
    yield "bomb of 2.5 billion pixels", png(50_000, 50_000, zlib.compress(bytes(100_000)))
    yield "bomb, widest", png(2**31 - 1, 1, zlib.compress(b"\x00"))
    yield "bomb, widest and highest", png(2**31 - 1, 2**31 - 1, zlib.compress(b"\x00"))
    yield "just above the limit of pixels", png(8001, 8000, zlib.compress(bytes(1000)))
    yield "png without data", png(10, 10, b"")
    yield "png whose data are none", png(10, 10, b"nothing packed")
    yield "png with too little", png(10, 10, zlib.compress(rows[:100]))
    yield "png of zero width", png(0, 10, zlib.compress(rows))
    yield "png of an impossible depth", png(10, 10, zlib.compress(rows), depth=77)
    yield "png of an impossible colour", png(10, 10, zlib.compress(rows), colour=99)
    text = b"tEXt" + b"x\x00" + b"y" * 10
    yield "png with a chunk beyond the end", picture("PNG")[:33] + struct.pack(">I", 2**31 - 1) + text
    yield "png text bomb", _text_bomb()
    gif = picture("GIF")
    yield "gif of 65,535 x 65,535", gif[:6] + b"\xff\xff\xff\xff" + gif[10:]
    bmp = picture("BMP")
    yield "bmp of negative width", bmp[:18] + struct.pack("<i", -40) + bmp[22:]
    yield "bmp of a billion rows", bmp[:22] + struct.pack("<i", 10**9) + bmp[26:]
    yield "bmp whose pixels begin beyond it", bmp[:10] + struct.pack("<I", 2**31) + bmp[14:]
    webp = picture("WEBP", lossless=True)
    yield "webp of a wrong length", webp[:4] + struct.pack("<I", 2**31 - 1) + webp[8:40]
    jpeg = picture("JPEG")
    size = jpeg.index(b"\xff\xc0")
    yield "jpeg of 65,535 x 65,535", jpeg[: size + 5] + b"\xff\xff\xff\xff" + jpeg[size + 9 :]
    yield "jpeg of no rows", jpeg[: size + 5] + b"\x00\x00" + jpeg[size + 7 :]
    yield "larger than is taken", jpeg + bytes(11 * 1024 * 1024)


def harmless() -> Iterator[tuple[str, bytes]]:
    """Odd, but pictures: each has to be answered."""
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP"):
        yield f"{kind}", picture(kind)
        yield f"{kind} with a script behind it", picture(kind) + b"<script>alert(1)</script>" * 20
        yield f"{kind} with an archive behind it", picture(kind) + b"PK\x03\x04" + bytes(500)
        yield f"{kind} with zeros behind it", picture(kind) + bytes(50_000)
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "green", "blue")] * 20
    for kind in ("GIF", "WEBP", "PNG"):
        written = io.BytesIO()
        frames[0].save(written, kind, save_all=True, append_images=frames[1:], duration=20, loop=0)
        yield f"animated {kind}", written.getvalue()
    for side in range(1, 9):
        exif = Image.Exif()
        exif[274] = side
        yield f"turned {side}", picture("JPEG", exif=exif)
    exif = Image.Exif()
    exif[274], exif[270], exif[315] = 99, "../../etc/passwd\x00" * 500, "'; DROP TABLE items; --"
    yield "exif that lies", picture("JPEG", exif=exif)
    yield "exif of rubbish", picture("JPEG", exif=b"Exif\x00\x00MM\x00*" + b"\xff" * 300)
    yield (
        "exif that points at itself",
        picture(
            "JPEG",
            exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x69\x87\x04\x00\x01\x00\x00\x00\x08\x00\x00\x00"
            + bytes(8),
        ),
    )
    yield "colour profile of rubbish", picture("JPEG", icc_profile=b"\xff" * 5000)
    yield "cmyk", picture("JPEG", mode="CMYK")
    for mode in ("L", "P", "1", "LA", "RGBA", "I;16"):
        yield f"png {mode}", picture("PNG", mode=mode)
    yield "one pixel", picture("PNG", (1, 1))
    yield "a line", picture("PNG", (20_000, 1))
    yield "a line, upright", picture("BMP", (1, 20_000))
    yield "one colour, 36 million pixels", _flat(6000)
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "<script>alert(1)</script>", zip=True)
    yield "png with a script in its text", picture("PNG", pnginfo=info)
    yield "gif whose screen is empty", picture("GIF")[:6] + bytes(4) + picture("GIF")[10:]
    yield "gif that is also a script", b"GIF89a" + picture("GIF")[6:] + b"=1;alert(1)//"


def _flat(side: int) -> bytes:
    written = io.BytesIO()
    Image.new("L", (side, side), 200).save(written, "PNG")
    return written.getvalue()


def _without_size(kind: str, whole: bytes) -> bytes:
    places = {"PNG": (16, 8), "BMP": (18, 8), "WEBP": (26, 4), "JPEG": (whole.find(b"\xff\xc0") + 5, 4)}
    start, length = places[kind]
    return whole[:start] + bytes(length) + whole[start + length :]


def _text_bomb() -> bytes:
    """Texts of 70 MB, packed into little."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * (70 << 20), zip=True)
    return picture("PNG", pnginfo=info)
