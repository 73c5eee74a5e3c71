"""Boxes around what is hot, and pictures that are refused before they are decoded."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from governance.errors import InvalidInput
from inference.capabilities.answers import answer_of, boxes
from inference.capabilities.catalogue import capabilities
from inference.capabilities.rows import MOST_IMAGE_BYTES, image_row


def heat(*rectangles, size=128):
    found = np.zeros((size, size))
    for top, left, height, width, value in rectangles:
        found[top : top + height, left : left + width] = value
    return found


def test_each_spot_has_a_box_in_the_sent_pictures_pixels_the_hottest_first():
    found = boxes(heat((10, 20, 8, 4, 0.7), (60, 70, 5, 30, 0.9)), (256, 512))
    assert found == [
        {"x": 140, "y": 240, "width": 60, "height": 20, "peak": 0.9},
        {"x": 40, "y": 40, "width": 8, "height": 32, "peak": 0.7},
    ]


def test_what_hangs_together_is_one_and_a_corner_is_no_side():
    bent = heat((10, 10, 4, 40, 0.8), (10, 46, 40, 4, 0.8))
    assert [(box["width"], box["height"]) for box in boxes(bent, None)] == [(40, 40)]
    assert len(boxes(heat((0, 0, 10, 10, 0.8), (10, 10, 10, 10, 0.8)), None)) == 2


def test_noise_and_nothing_have_no_box():
    noise = np.indices((128, 128)).sum(axis=0) % 2 * 0.9
    assert boxes(noise, None) == boxes(heat(), None) == boxes(heat((5, 5, 3, 3, 1.0)), None) == []
    assert len(boxes(np.ones((128, 128)), None)) == 1


@given(
    st.lists(
        st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(4, 38), st.integers(4, 38)), max_size=6
    )
)
def test_every_large_rectangle_lies_in_a_box(rectangles):
    found = boxes(heat(*((*rectangle, 0.9) for rectangle in rectangles)), None)
    for top, left, height, width in rectangles:
        assert any(
            box["x"] <= left and box["y"] <= top
            and left + width <= box["x"] + box["width"] and top + height <= box["y"] + box["height"]
            for box in found
        )  # fmt: skip


def test_the_five_likeliest_classes_are_told():
    found = capabilities()["language"]
    probabilities = [0.0] * len(found.classes)
    for place in range(7):
        probabilities[place] = (7 - place) / 28
    answer = answer_of(found, {"label": found.classes[0], "probabilities": probabilities})
    assert list(answer["probabilities"]) == found.classes[:5]
    assert answer["confidence"] == 0.25


def claiming(width, height):
    """A PNG file of a few bytes that says it is a huge picture."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "raw",
    [
        claiming(5_000, 5_000), claiming(12_000, 12_000), claiming(100_000, 100_000), claiming(50, 50), b"", b"GIF89a",
        b"\xff\xd8\xff\xe0" + b"\0" * 50, b"x" * (MOST_IMAGE_BYTES + 1),
    ],
)  # fmt: skip
def test_what_is_no_picture_of_a_bearable_size_is_refused(raw):
    with pytest.raises(InvalidInput):
        image_row(raw, capabilities()["garments"])


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16"])
def test_pictures_of_every_kind_of_pixel_become_grey(mode):
    out = io.BytesIO()
    Image.new(mode, (60, 40)).save(out, "PNG")
    row, size = image_row(out.getvalue(), capabilities()["garments"])
    assert size == (60, 40)
    assert np.array(row).shape == (28, 28)


def test_sixteen_bits_are_brought_to_eight():
    out = io.BytesIO()
    Image.fromarray(np.full((28, 28), 0x8040, np.uint16)).save(out, "PNG")
    row, _size = image_row(out.getvalue(), capabilities()["garments"])
    assert (np.array(row) == 0x80).all()
