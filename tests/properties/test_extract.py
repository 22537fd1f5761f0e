"""Whatever the text and the schema: no value that does not stand where its evidence says, and none against the schema."""

from __future__ import annotations

import json
from types import SimpleNamespace

import jsonschema_rs
from hypothesis import event, given, settings
from hypothesis import strategies as st

from amends.models.extract import Extractor
from amends.models.extract import _values as forms
from amends.problems import ProblemError

NAMES = (
    "invoice_number",
    "date",
    "dueDate",
    "total",
    "currency",
    "email",
    "name",
    "paid",
    "text",
    "items",
    "phone",
    "x",
)
WORDS = st.sampled_from(
    [
        *(
            "Invoice number:",
            "Date",
            "Due date:",
            "Total",
            "total:",
            "Name",
            "Name:",
            "Email",
            "Paid:",
            "Items",
            "x:",
            "Phone",
        ),
        *(
            "INV-42",
            "3 March 2026",
            "03/04/2026",
            "2026-01-02",
            "EUR 5",
            "$1,234.50",
            "(7)",
            "1.234,50",
            "20%",
            "yes",
            "No",
        ),
        *(
            "ann@example.org",
            "https://example.org/a",
            "+44 20 7946 0000",
            "Jane",
            "Ärger",
            "\U0001f600",
            "-",
            "•",
            ":",
            ",",
        ),
        *("  ", "   ", "\t", "|", "\n", "\n", "\n\n", " "),
    ]
)
SAID = st.sampled_from(
    [
        *(
            "INV-42",
            "3 March 2026",
            "03/04/2026",
            "25/12/2025",
            "2026-01-02",
            "EUR 5",
            "$1,234.50",
            "(7)",
            "1.234,50",
            "-3",
        ),
        *("20%", "yes", "No", "ann@example.org", "+44 20 7946 0000", "Jane Ärger", "a, b; c", "7", "😀", ""),
    ]
)
CALLED = st.sampled_from(
    [*NAMES, "Invoice number", "Due date", "Total due", "Name", "Date of issue", "Items", "Phone no."]
)
PAIRS = st.tuples(CALLED, st.sampled_from([": ", ":", "   ", "\t", " ", ":\n", "\n", " = "]), SAID).map("".join)
TABLES = st.lists(st.lists(CALLED | SAID, min_size=2, max_size=3).map("\t".join), min_size=2, max_size=4).map("\n".join)
NOISE = st.lists(WORDS | st.text(max_size=6), max_size=8).map(lambda parts: " ".join(parts).replace("\r", " "))
TEXTS = st.lists(PAIRS | TABLES | NOISE, min_size=2, max_size=12).map("\n".join)

VALUES = st.sampled_from(
    [
        {"type": "string"},
        {"type": ["string", "null"]},
        {"type": "string", "format": "date"},
        {"type": "string", "format": "email"},
        {"type": "string", "pattern": "^[A-Z]+-[0-9]+$"},
        {"type": "number"},
        {"type": "integer", "minimum": 0},
        {"anyOf": [{"type": "number"}, {"type": "string"}]},
        {"type": "boolean"},
        {"enum": ["yes", "EUR", 7]},
    ]
)


def objects(values):
    return st.dictionaries(st.sampled_from(NAMES), values, min_size=1, max_size=6).flatmap(
        lambda properties: st.sets(st.sampled_from(sorted(properties)) if properties else st.nothing(), max_size=1).map(
            lambda required: {"type": "object", "properties": properties, "required": sorted(required)}
        )
    )


LISTS = (VALUES | objects(VALUES)).map(lambda items: {"type": "array", "items": items})
SCHEMAS = objects(VALUES | LISTS | objects(VALUES))


def leaves(value, pointer=""):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f"{pointer}/{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{pointer}/{number}")
    elif value is not None:
        yield pointer, value


def stands(value, raw):
    """Whether ``raw``, the text at the evidence, says ``value``. Both ways of reading a number or a date are allowed."""
    habits = [forms.Habits(day_first, comma) for day_first in (True, False) for comma in (True, False)]
    readers = [forms.truths, forms.currencies, forms.choices(("yes", "EUR", 7))]
    readers += [reader for habit in habits for reader in (forms.dates(habit), forms.numbers(habit, percent=True))]
    said = [
        raw,
        *(found.value for reader in readers for found in reader(raw) if (found.start, found.end) == (0, len(raw))),
    ]
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in said)


class Chooses:
    """A language model that answers every question with one of the values that it is let choose from."""

    def __init__(self, number):
        self.number = number

    def answer(self, question):
        options = {name: form["enum"] for name, form in question.schema["properties"].items()}
        return SimpleNamespace(text=json.dumps({name: said[self.number % len(said)] for name, said in options.items()}))


@given(
    pages=st.lists(TEXTS, min_size=1, max_size=3),
    schema=SCHEMAS,
    chat=st.none() | st.integers(0, 3).map(Chooses),
)
@settings(max_examples=400, deadline=None)
def test_every_value_stands_where_its_evidence_says(pages, schema, chat):
    found, refused = None, None
    try:
        load_chat = (lambda: chat) if chat else None
        found = Extractor(schema, load_chat=load_chat).extract(list(enumerate(pages, start=1)))
    except ProblemError as error:
        refused = error.problem.slug
    event(f"found {len(found.evidence) if found else 'too little'}")
    assert refused in (None, "prediction_failed")
    if found is None:
        return
    jsonschema_rs.validate(schema, found.output)
    values = dict(leaves(found.output))
    assert values.keys() == found.evidence.keys()
    for pointer, place in found.evidence.items():
        if place.page is None:
            assert values[pointer] == "\n\n".join(page for page in pages if page)[place.start : place.end]
        else:
            assert stands(values[pointer], pages[place.page - 1][place.start : place.end])


@given(
    text=st.text(),
    prompt=st.none() | st.text(),
    names=st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=4),
)
@settings(max_examples=200, deadline=None)
def test_any_text_prompt_and_property_names_are_taken(text, prompt, names):
    schema = {"type": "object", "properties": {name: {"type": ["string", "null"]} for name in names}}
    found = Extractor(schema).extract([(1, text)], prompt=prompt)
    assert all(
        value == text[at.start : at.end] for name, at in found.evidence.items() for value in [pointed(found, name)]
    )


def pointed(found, pointer):
    return found.output[pointer[1:].replace("~1", "/").replace("~0", "~")]
