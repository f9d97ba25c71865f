import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from lens.data.images import fit_square, load_rgb
from lens.errors import LensError


def _encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _noise(width: int = 64, height: int = 48) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP", "JPEG"])
def test_every_format_from_path_bytes_and_file(kind: str, tmp_path: Path) -> None:
    data = _encoded(Image.new("RGB", (9, 7), (200, 100, 50)), kind)
    (tmp_path / "x").write_bytes(data)
    with open(tmp_path / "x", "rb") as file:
        for source in (tmp_path / "x", str(tmp_path / "x"), data, file):
            image = load_rgb(source)
            assert (image.mode, image.size) == ("RGB", (9, 7))
            assert np.abs(np.asarray(image)[3, 4].astype(int) - (200, 100, 50)).max() <= 6


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (4, 4), 128), (128, 128, 128)),
        (Image.new("1", (4, 4), 1), (255, 255, 255)),
        (Image.new("LA", (4, 4), (0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (4, 4), (255, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (4, 4), (255, 0, 0, 255)), (255, 0, 0)),
        (Image.new("RGBA", (4, 4), (0, 0, 0, 51)), (204, 204, 204)),
        (Image.new("RGB", (4, 4), (10, 20, 30)).quantize(4), (10, 20, 30)),
    ],
    ids=["L", "1", "LA", "clear", "opaque", "one fifth black", "palette"],
)
def test_modes_become_rgb_on_white(image: Image.Image, expected: tuple[int, int, int]) -> None:
    assert load_rgb(_encoded(image)).getpixel((1, 1)) == expected


def test_palette_with_a_transparent_colour_is_white_there() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 0, 255, 0])
    image.putdata([0, 1])
    decoded = load_rgb(_encoded(image, transparency=0))
    assert [decoded.getpixel((x, 0)) for x in range(2)] == [(255, 255, 255), (0, 255, 0)]


def test_cmyk_white_stays_white() -> None:
    assert load_rgb(_encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG")).getpixel((3, 3)) == (
        255,
        255,
        255,
    )


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_values_are_scaled_not_clipped(kind: str) -> None:
    values = np.array([[0, 257 * 64, 257 * 128, 65535]], dtype=np.uint16)
    assert np.asarray(load_rgb(_encoded(Image.fromarray(values), kind)))[0, :, 0].tolist() == [
        0,
        64,
        128,
        255,
    ]


def test_floating_point_tiff() -> None:
    values = np.array([[0.0, 0.2, 1.0]], dtype=np.float32)
    assert np.asarray(load_rgb(_encoded(Image.fromarray(values), "TIFF")))[0, :, 1].tolist() == [0, 51, 255]


def test_exif_rotation_is_applied() -> None:
    image = Image.new("RGB", (30, 10), "white")
    image.paste("red", (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    upright = load_rgb(_encoded(image, "JPEG", exif=exif.tobytes(), quality=95))
    assert upright.size == (10, 30)
    assert upright.getpixel((5, 3))[1] < 60
    assert upright.getpixel((5, 26))[1] > 200


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_does_not_matter() -> None:
    assert load_rgb(_encoded(_noise(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")).size == (64, 48)


def test_several_pictures_in_one_jpeg_as_phones_write_them() -> None:
    data = _encoded(
        Image.new("RGB", (8, 8), "red"), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))]
    )
    assert load_rgb(data).getpixel((3, 3))[0] > 200


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (5, 5), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP"):
        data = _encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert load_rgb(data).getpixel((2, 2))[0] > 200


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF"])
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_truncated_files_are_refused_by_name(kind: str, kept: float, tmp_path: Path) -> None:
    data = _encoded(_noise(), kind)
    file = tmp_path / "cut.img"
    file.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(LensError, match=r"cut\.img cannot be read: it is damaged"):
        load_rgb(file)


def test_what_is_no_image_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("hello, I am no picture")
    (tmp_path / "page.eps").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n"
    )
    for name, reason in (
        ("empty.jpg", "it is empty"),
        ("text.png", "it is damaged or no"),
        ("page.eps", "it is damaged or no"),
        ("absent.jpg", "there is no such file"),
        (".", "it is a folder"),
    ):
        with pytest.raises(LensError, match=f"cannot be read: {reason}"):
            load_rgb(tmp_path / name)
    with pytest.raises(LensError, match="it is empty"):
        load_rgb(b"")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_forbidden_file_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(_encoded(_noise()))
    file.chmod(0)
    with pytest.raises(LensError, match="Permission denied"):
        load_rgb(file)


@pytest.mark.parametrize("side", [60, 12_000, 20_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pixel_limit_holds_before_decoding(side: int) -> None:
    bomb = _encoded(Image.new("1", (side, side)))
    with pytest.raises(LensError, match="pixels.*limit of 3,000"):
        load_rgb(bomb, max_pixels=3000)


def test_zero_size_image() -> None:
    header = b"GIF89a" + bytes(4) + b"\x00\x00\x00" + b"\x2c" + bytes(9) + b"\x02\x00\x3b"
    with pytest.raises(LensError, match="cannot be read"):
        load_rgb(header)


def test_no_global_setting_is_changed() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    load_rgb(_encoded(_noise()))
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == before


@pytest.mark.parametrize("size", [(300, 100), (100, 300), (7, 5), (32, 32), (1000, 1), (1, 1)])
def test_fit_square_keeps_the_whole_picture_in_proportion(size: tuple[int, int]) -> None:
    square = fit_square(Image.new("RGB", size, "black"), 32)
    assert square.shape == (32, 32, 3)
    assert square.dtype == np.uint8
    dark = np.argwhere(square[:, :, 0] < 128)
    height, width = dark.max(0) - dark.min(0) + 1
    assert (width, height) == tuple(max(1, round(side * 32 / max(size))) for side in size)
    margins = (*dark.min(0), *(31 - dark.max(0)))
    assert abs(margins[0] - margins[2]) <= 1
    assert abs(margins[1] - margins[3]) <= 1


def test_fit_square_is_antialiased() -> None:
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    assert np.ptp(fit_square(Image.fromarray(stripes), 32)[4:-4, 4:-4].astype(int)) <= 8
