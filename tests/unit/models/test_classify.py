"""``local/classify``: labels from the schema, by what they say."""

from __future__ import annotations

import pytest

from amends.models import load_classifier, load_embedder
from amends.models._classify import labels_of

SUPPORT = [
    ("I was charged twice for my subscription this month", "billing"),
    ("The app crashes when I open the settings page", "technical_problem"),
    ("Where is my parcel, it should have arrived on Monday", "delivery"),
    ("Login button does nothing in Firefox", "technical_problem"),
    ("I want to delete my account and all my data", "account"),
    ("The courier left the package at the wrong house", "delivery"),
]
TOPIC = {"enum": ["billing", "technical_problem", "account", "delivery"]}


@pytest.fixture(scope="module")
def embedder():
    return load_embedder(threads=1)


@pytest.fixture
def classify(embedder):
    def run(properties, text, prompt=None, **schema):
        whole = {"type": "object", "properties": properties, **schema}
        (output,) = load_classifier(embedder, whole, prompt).classify([text])
        return output

    return run


def test_texts_get_the_label_that_fits(embedder):
    classifier = load_classifier(embedder, {"type": "object", "properties": {"topic": TOPIC}})
    found = classifier.classify([text for text, _ in SUPPORT])
    assert found == [{"topic": topic} for _, topic in SUPPORT]


def test_scores_stand_where_the_schema_asks_for_them(classify):
    properties = {"topic": TOPIC, "topic_score": {"type": "number"}, "scores": {"type": "object"}}
    output = classify(properties, SUPPORT[2][0])
    assert output["topic"] == "delivery"
    assert output["scores"].keys() == set(TOPIC["enum"])
    assert output["topic_score"] == max(output["scores"].values()) > 0.5
    assert sum(output["scores"].values()) == pytest.approx(1, abs=0.001)


@pytest.mark.parametrize("name", ["score", "confidence"])
def test_a_plain_score_belongs_to_the_only_property(classify, name):
    score = {name: {"type": "number"}}
    assert classify({"topic": TOPIC, **score}, SUPPORT[0][0])[name] > 0.3
    assert name not in classify({"topic": TOPIC, "mood": {"enum": ["glad", "angry"]}, **score}, SUPPORT[0][0])


def test_a_list_gets_every_label_nearly_as_likely_as_the_likeliest(classify):
    tags = {"tags": {"type": "array", "items": {"enum": ["football", "money", "gardening", "space travel"]}}}
    found = classify(tags, "The football club spent a lot of money on a new player")["tags"]
    assert found == ["football", "money"]
    assert classify(tags, "Astronauts left for the moon")["tags"] == ["space travel"]


def test_labels_may_be_constants_with_descriptions_and_stand_behind_references(classify):
    kind = {
        "oneOf": [
            {"const": "A7", "description": "complaints about noise from neighbours"},
            {"const": "B2", "description": "broken street lamps and potholes in the road"},
        ]
    }
    found = classify(
        {"kind": {"$ref": "#/$defs/Kind"}}, "There is a deep hole in our street", **{"$defs": {"Kind": kind}}
    )
    assert found == {"kind": "B2"}


def test_a_prompt_may_say_what_labels_mean(classify):
    kind = {"kind": {"enum": ["A7", "B2"]}}
    prompt = "Sort the letters.\nA7: complaints about noise from neighbours\n- B2: broken street lamps and potholes"
    assert classify(kind, "They play loud music until three", prompt)["kind"] == "A7"
    assert classify(kind, "There is a deep hole in our street", prompt)["kind"] == "B2"


def test_one_label_is_always_it(classify):
    assert classify({"a": {"const": "only"}, "score": {"type": "number"}}, "text") == {"a": "only", "score": 1.0}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {"n": {"type": "number"}, "empty": {"enum": []}, "numbers": {"enum": [1, 2]}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}},
        {"type": "array"},
    ],
)
def test_a_schema_without_labels_is_refused(schema):
    with pytest.raises(ValueError, match=r"labels|has no|must be an object"):
        labels_of(schema)
