"""``local/image-labels`` on real photographs."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from amends.models import load_labels
from tests import samples


@pytest.fixture(scope="module")
def labels():
    return load_labels(threads=1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("coffee.png", {"espresso"}), ("chelsea.png", {"Egyptian Mau", "tabby cat"}), ("camera.png", {"tripod"})],
)
def test_photographs_are_named_by_what_they_show(labels, name, expected):
    with Image.open(samples.photo(name)) as image:
        (found,) = labels.predict([image])
    assert len(found) == 5
    assert expected & {label.name for label in found[:2]}
    scores = [label.score for label in found]
    assert scores == sorted(scores, reverse=True)
    assert 0 < sum(scores) <= 1.001


def test_a_batch_answers_as_its_images_would_singly_and_in_order(labels):
    with Image.open(samples.photo("coffee.png")) as one, Image.open(samples.photo("chelsea.png")) as other:
        together = labels.predict([one, other, one])
        singly = [labels.predict([image])[0] for image in (one, other, one)]
    assert [[label.name for label in found] for found in together] == [
        [label.name for label in found] for found in singly
    ]
    np.testing.assert_allclose(
        [[label.score for label in found] for found in together],
        [[label.score for label in found] for found in singly],
        atol=2e-4,
    )


def test_no_image_gives_no_labels(labels):
    assert labels.predict([]) == []


def test_a_picture_of_one_pixel_is_labelled_without_complaint(labels):
    assert len(labels.predict([Image.new("RGB", (1, 1))], top=3)[0]) == 3
