"""``local/extract``: what it finds, where it says it stands, and what it refuses to make up."""

from __future__ import annotations

import time

import pytest

from amends.models.extract import Extractor
from amends.problems import ProblemError

INVOICE = """ACME Ltd
12 High Street, London

Invoice number: INV-2026-0042      Date: 3 March 2026
Customer: Jane O'Neill   Due date: 02.04.2026
Email: billing@acme.example

Item            Qty     Price
Widget            2     10.00
Gadget            1     25.50

Subtotal   45.50
VAT 20%   9.10
Total due: EUR 54.60
"""
STRING = {"type": "string"}
NUMBER = {"type": "number"}
DATE = {"type": "string", "format": "date"}


def schema(required=None, **properties):
    wanted = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": wanted}


def find(text, wanted, prompt=None):
    """Extract, and check every place: it must be within its page and must not be empty."""
    pages = [(1, text)] if isinstance(text, str) else text
    found = Extractor(wanted).extract(pages, prompt=prompt)
    for place in found.evidence.values():
        whole = "\n\n".join(page for _, page in pages) if place.page is None else dict(pages)[place.page]
        assert 0 <= place.start < place.end <= len(whole)
    return found


def test_an_invoice_is_read_and_every_value_has_its_place():
    row = {
        "type": "object",
        "properties": {"description": STRING, "quantity": {"type": "integer"}, "unit_price": NUMBER},
    }
    found = find(
        INVOICE,
        schema(
            invoice_number=STRING,
            date=DATE,
            due_date=DATE,
            customer=STRING,
            total=NUMBER,
            subtotal=NUMBER,
            tax=NUMBER,
            currency=STRING,
            vendor_email={"type": "string", "format": "email"},
            iban={"type": ["string", "null"]},
            items={"type": "array", "items": row},
        ),
    )
    assert found.output == {
        "invoice_number": "INV-2026-0042",
        "date": "2026-03-03",
        "due_date": "2026-04-02",
        "customer": "Jane O'Neill",
        "total": 54.6,
        "subtotal": 45.5,
        "tax": 9.1,
        "currency": "EUR",
        "vendor_email": "billing@acme.example",
        "iban": None,
        "items": [
            {"description": "Widget", "quantity": 2, "unit_price": 10},
            {"description": "Gadget", "quantity": 1, "unit_price": 25.5},
        ],
    }
    said = {pointer: INVOICE[place.start : place.end] for pointer, place in found.evidence.items()}
    assert said["/date"] == "3 March 2026"
    assert said["/total"] == "54.60"
    assert said["/items/1/unit_price"] == "25.50"
    assert "/iban" not in said


def test_running_text_is_read_behind_the_words_of_a_label():
    text = "Invoice No. 8812 dated March 5, 2026. The total amount due is $1,234.50, payable by 4 April 2026."
    found = find(text, schema(invoice_number=STRING, invoice_date=DATE, total_amount=NUMBER, due_date=DATE))
    assert found.output == {
        "invoice_number": "8812",
        "invoice_date": "2026-03-05",
        "total_amount": 1234.5,
        "due_date": "2026-04-04",
    }


def test_columns_side_by_side_are_read_each_downwards():
    text = "Bill to:            Invoice #: 123\nJane Miller         Date: 2026-01-05\n1 High Street       Due: 2026-02-04\n"
    text += "\nTotal excl. VAT   100,00\nVAT (20%)   20,00\nTotal incl. VAT   120,00"
    wanted = schema(
        customer=STRING, invoice_number=STRING, date=DATE, due_date=DATE, total=NUMBER, subtotal=NUMBER, vat=NUMBER
    )
    assert find(text, wanted).output == {
        "customer": "Jane Miller",
        "invoice_number": "123",
        "date": "2026-01-05",
        "due_date": "2026-02-04",
        "total": 120,
        "subtotal": 100,
        "vat": 20,
    }


def test_pairs_glued_to_one_line_are_parted():
    text = "Invoice Number: 42 Invoice Date: 2026-01-02 Due Date: 2026-02-03 Paid: yes"
    wanted = schema(invoice_number=STRING, invoice_date=DATE, due_date=DATE, paid={"type": "boolean"})
    assert find(text, wanted).output == {
        "invoice_number": "42",
        "invoice_date": "2026-01-02",
        "due_date": "2026-02-03",
        "paid": True,
    }


@pytest.mark.parametrize(
    "text",
    [
        "Reference:\nAB-7",
        "Reference\nAB-7",
        "Reference   AB-7",
        "Reference\tDate\nAB-7\t2026-01-01",
        "| Reference | AB-7 |",
    ],
)
def test_a_value_stands_beside_its_label_or_below_it(text):
    assert find(text, schema(reference=STRING)).output == {"reference": "AB-7"}


def test_a_missing_value_is_null_where_allowed_and_left_out_where_optional():
    wanted = schema(["iban"], iban={"type": ["string", "null"]}, bic=STRING, tax={"anyOf": [NUMBER, {"type": "null"}]})
    assert find("Hello world", wanted).output == {"iban": None, "tax": None}


def test_a_missing_required_value_fails_by_name_and_pointer():
    with pytest.raises(ProblemError) as caught:
        find("Total: 5", schema(total=NUMBER, iban=STRING))
    problem = caught.value.problem
    assert (problem.slug, problem.detail) == ("prediction_failed", "The document has no value for: iban")
    assert problem.extensions["missing"] == ["/iban"]


def test_a_bare_dollar_is_no_currency_and_an_unclear_date_is_no_date():
    wanted = schema(currency={"type": ["string", "null"]}, date={"type": ["string", "null"], "format": "date"})
    assert find("Total: $5\nDate: 03/04/2026", wanted).output == {"currency": None, "date": None}


def test_text_and_content_receive_the_whole_text():
    found = find([(1, "One"), (2, "Two")], schema(text=STRING))
    assert found.output == {"text": "One\n\nTwo"}
    assert found.evidence["/text"] == (None, 0, 8)
    assert find("One", schema(content=STRING)).evidence["/content"] == (1, 0, 3)
    with pytest.raises(ProblemError):
        find("One", schema(text={"type": "string", "pattern": r"^\d+$"}))


def test_patterns_formats_and_choices_are_found_without_a_label():
    text = "Part AB-1234 was shipped; ask ann@example.org or see https://example.org/x. Status: Paid"
    wanted = schema(
        part={"type": "string", "pattern": r"^[A-Z]{2}-\d{4}$"},
        contact={"type": "string", "format": "email"},
        page={"type": "string", "format": "uri"},
        status={"enum": ["paid", "unpaid"]},
    )
    assert find(text, wanted).output == {
        "part": "AB-1234",
        "contact": "ann@example.org",
        "page": "https://example.org/x",
        "status": "paid",
    }


@pytest.mark.parametrize("pattern", [r"^(a+)+$", r"^(a|aa)+$", r"^(?=(a+)+$)b?a+$"])
def test_a_pattern_that_would_hang_a_backtracking_engine_does_not(pattern):
    wanted = schema(code={"type": ["string", "null"], "pattern": pattern})
    started = time.monotonic()
    assert find("code: " + "a" * 400 + "!", {**wanted, "required": []}).output["code"] in (None, "a" * 400)
    assert time.monotonic() - started < 20


def test_values_the_schema_forbids_are_not_taken():
    wanted = schema(level={"type": "integer", "minimum": 1, "maximum": 5})
    assert find("Level: 9\nLevel: 3", wanted).output == {"level": 3}


def test_nested_objects_are_told_apart_by_their_headings():
    party = {"type": "object", "properties": {"name": STRING, "phone": STRING}, "required": ["name"]}
    wanted = {
        "type": "object",
        "$defs": {"party": party},
        "properties": {
            "vendor": {"anyOf": [{"$ref": "#/$defs/party"}, {"type": "null"}]},
            "customer": {"$ref": "#/$defs/party"},
            "agent": {"$ref": "#/$defs/party"},
        },
    }
    text = "Customer\nName: Jo\nPhone: +44 20 7946 0000\n\nVendor\nName: Acme"
    assert find(text, wanted).output == {
        "vendor": {"name": "Acme"},
        "customer": {"name": "Jo", "phone": "+44 20 7946 0000"},
    }


def test_lists_of_values_are_read_from_lines_bullets_and_by_form():
    strings = {"type": "array", "items": STRING}
    assert find("Tags: red, green; blue", schema(tags=strings)).output == {"tags": ["red", "green", "blue"]}
    assert find("Skills:\n- Python\n- SQL\n\nOther", schema(skills=strings)).output == {"skills": ["Python", "SQL"]}
    emails = {"type": "array", "items": {"type": "string", "format": "email"}}
    assert find("a@x.org, b@x.org and a@x.org", schema(emails=emails)).output == {"emails": ["a@x.org", "b@x.org"]}


def test_a_table_goes_on_over_pages_and_ends_at_its_total():
    row = {"type": "object", "properties": {"name": STRING, "price": NUMBER}, "required": ["name", "price"]}
    pages = [(1, "Name\tPrice\nA\t1\nB\t2"), (2, "Name\tPrice\nC\t3\nTotal\t6\nSmall print\t7")]
    found = find(pages, schema(rows={"type": "array", "items": row}))
    assert [row["name"] for row in found.output["rows"]] == ["A", "B", "C"]
    assert found.evidence["/rows/2/price"].page == 2


def test_a_required_cell_that_is_empty_fails_and_is_named():
    row = {"type": "object", "properties": {"name": STRING, "price": NUMBER}, "required": ["name", "price"]}
    with pytest.raises(ProblemError, match=r"rows\.1\.price"):
        find("Name\tPrice\nA\t1\nB\t", schema(rows={"type": "array", "items": row}))


def test_the_prompt_may_say_what_a_property_is_called():
    wanted = schema(total=NUMBER)
    with pytest.raises(ProblemError):
        find("Zahlbetrag: 1.234,50 EUR", wanted)
    assert find("Zahlbetrag: 1.234,50 EUR", wanted, 'total is called "Zahlbetrag"').output == {"total": 1234.5}


def test_the_title_of_a_property_is_one_of_its_labels():
    assert find("Zahlbetrag: 5", schema(sum_of_it={**NUMBER, "title": "Zahlbetrag"})).output == {"sum_of_it": 5}


def test_the_output_is_checked_against_the_whole_schema():
    wanted = {**schema(total=NUMBER), "minProperties": 2}
    with pytest.raises(ProblemError, match="not valid against the schema"):
        find("Total: 5", wanted)


@pytest.mark.parametrize(
    "bad",
    [
        {"type": "array"},
        {"type": "object", "properties": {"a": {"$ref": "https://example.org/other.json"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}},
        {"type": "object", "properties": {"a": {"pattern": "("}}},
        {"type": "nothing"},
    ],
)
def test_a_schema_that_cannot_be_used_is_a_failed_prediction(bad):
    with pytest.raises(ProblemError) as caught:
        Extractor(bad)
    assert caught.value.problem.slug == "prediction_failed"
    assert "\n" not in caught.value.problem.detail


def test_a_schema_that_contains_itself_comes_to_an_end():
    tree = {
        "type": "object",
        "properties": {"name": STRING, "child": {"$ref": "#"}, "children": {"type": "array", "items": {"$ref": "#"}}},
    }
    assert find("Name: root", tree).output["name"] == "root"


@pytest.mark.parametrize("run", ["1", "1,", "a\t", "a: ", "total 1 ", "\n", "- "])
def test_a_long_run_of_anything_is_read_in_time_that_grows_with_its_length_alone(run):
    text = run * (100_000 // len(run))
    wanted = schema([], total=NUMBER, date=DATE, vendor=STRING, tags={"type": "array", "items": STRING})
    started = time.monotonic()
    find(text, wanted)
    assert time.monotonic() - started < 20, "a square of the length takes minutes"


@pytest.mark.parametrize(
    ("text", "name", "form"),
    [
        ("Report of 5 March 2026.", "due_date", DATE),
        ("Thank you for your letter of 5 May 2026.", "birthday", DATE),
        ("Write to sales@acme.example.", "customer_email", {"type": "string", "format": "email"}),
        ("Passport number:\nSignature:\n", "passport_number", STRING),
        ("Customer: -\n", "customer", STRING),
        ("Name: N/A\n", "name", STRING),
        ("Total items: 5\nTotal weight: 12.5 kg\n", "total", NUMBER),
        ("Total items: 5\nTotal weight: 12.5 kg\n", "total_amount", NUMBER),
        ("The total payable within 30 days of receipt was not stated.", "total", NUMBER),
    ],
)
def test_what_the_document_says_of_something_else_is_not_taken(text, name, form):
    assert find(text, schema([], **{name: form})).output == {}


def test_a_lone_date_belongs_to_the_date_that_the_document_speaks_of():
    assert find("Invoice 7, issued on 5 March 2026", schema(invoice_date=DATE)).output == {"invoice_date": "2026-03-05"}
