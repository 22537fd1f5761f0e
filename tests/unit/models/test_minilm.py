"""``local/minilm``: likeness of meaning, whatever stands beside a text in its batch."""

from __future__ import annotations

import numpy as np
import pytest

from amends.models import load_embedder
from amends.models._minilm import DIMENSIONS, MAX_TOKENS

TEXTS = [
    "A man is playing a guitar on the stage.",
    "Somebody makes music with a stringed instrument.",
    "The central bank raised interest rates by a quarter of a point.",
]


@pytest.fixture(scope="module")
def embedder():
    return load_embedder(threads=1)


def test_texts_of_like_meaning_lie_nearer_than_others(embedder):
    guitar, music, bank = (embedding.vector for embedding in embedder.embed(TEXTS))
    assert guitar @ music > 0.5
    assert max(guitar @ bank, music @ bank) < 0.15


def test_every_vector_has_length_one_and_the_documented_dimensions(embedder):
    for embedding in embedder.embed(TEXTS):
        assert embedding.vector.shape == (DIMENSIONS,)
        assert np.linalg.norm(embedding.vector) == pytest.approx(1, abs=1e-6)


def test_a_text_means_the_same_in_any_company_and_order(embedder):
    company = [*TEXTS, "word " * 400, "x", *TEXTS[::-1], *(f"Item number {number}" for number in range(40))]
    together = embedder.embed(company)
    for text, found in zip(company, together, strict=True):
        (alone,) = embedder.embed([text])
        np.testing.assert_allclose(found.vector, alone.vector, atol=1e-5)
        assert (found.tokens, found.truncated) == (alone.tokens, alone.truncated)


@pytest.mark.parametrize(
    ("text", "tokens", "truncated"),
    [
        ("hello", 3, False),
        ("word " * (MAX_TOKENS - 2), MAX_TOKENS, False),
        ("word " * (MAX_TOKENS - 1), MAX_TOKENS, True),
        (" " * 100_000 + "word", 2, True),
        ("a" * 1_000_000, 3, True),
        ("\x00\ud7ff🙂", 3, False),
    ],
)
def test_what_was_not_read_is_said(embedder, text, tokens, truncated):
    (found,) = embedder.embed([text])
    assert (found.tokens, found.truncated) == (tokens, truncated)
    assert np.isfinite(found.vector).all()


def test_no_texts_give_no_embeddings(embedder):
    assert embedder.embed([]) == []


def test_a_long_text_is_the_mean_of_its_stretches(embedder):
    half = "The striker scored twice. " * 80
    (beginning,) = embedder.embed([half + "The central bank raised interest rates. " * 80])
    (whole,) = embedder.embed_whole([half + "The central bank raised interest rates. " * 80], windows=8)
    (bank,) = embedder.embed(["Interest rates of the central bank"])
    assert whole.vector @ bank.vector > beginning.vector @ bank.vector + 0.2
    assert whole.tokens > MAX_TOKENS
    assert not whole.truncated
    assert embedder.embed_whole([half * 9], windows=8)[0].truncated
