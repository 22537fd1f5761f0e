"""How single values are recognised: one table of spellings a kind."""

from __future__ import annotations

import pytest

from amends.models.extract import _values
from amends.models.extract._values import Habits

UNKNOWN = Habits()


def values(reader, text):
    found = list(reader(text))
    assert all(0 <= value.start < value.end <= len(text) for value in found)
    return [value.value for value in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on 2026-03-05.", ["2026-03-05"]),
        ("3 March 2026", ["2026-03-03"]),
        ("3rd of March 2026", ["2026-03-03"]),
        ("3-Mar-2026", ["2026-03-03"]),
        ("3March2026", ["2026-03-03"]),
        ("March 3, 2026", ["2026-03-03"]),
        ("3. März 2026", ["2026-03-03"]),
        ("03.04.2026", ["2026-04-03"]),
        ("03.04.26", ["2026-04-03"]),
        ("25/12/1999", ["1999-12-25"]),
        ("12/25/1999", ["1999-12-25"]),
        ("05/05/2026", ["2026-05-05"]),
        ("03/04/2026", []),
        ("31 February 2026", []),
        ("2026-13-01", []),
        ("10.5.3.2", []),
        ("version 1.2.2026.4", []),
        ("from 2026-01-02 to 2026-02-03", ["2026-01-02", "2026-02-03"]),
    ],
)
def test_dates_are_read_in_many_spellings_and_never_guessed(text, expected):
    assert values(_values.dates(UNKNOWN), text) == expected


def test_a_document_that_shows_its_habit_makes_unclear_dates_clear():
    european = _values.habits_of("sent 25/03/2026, due 03/04/2026")
    american = _values.habits_of("sent 03/25/2026, due 03/04/2026")
    assert values(_values.dates(european), "03/04/2026") == ["2026-04-03"]
    assert values(_values.dates(american), "03/04/2026") == ["2026-03-04"]
    assert _values.habits_of("25/03/2026 and 03/25/2026").day_first is None


@pytest.mark.parametrize(
    ("text", "comma", "expected"),
    [
        ("1,234.50", False, [1234.5]),
        ("1.234,50 EUR", True, [1234.5]),
        ("1.234", True, [1234]),
        ("1.234", False, [1.234]),
        ("1,234", False, [1234]),
        ("0,5", False, [0.5]),
        ("12,50", False, [12.5]),
        ("1 234 567,89", False, [1234567.89]),
        ("1'234.50", False, [1234.5]),
        ("$45.50", False, [45.5]),
        ("€ 45", False, [45]),
        ("(45.50)", False, [-45.5]),
        ("-3", False, [-3]),
        ("20% of 50", False, [50]),
        ("INV-42", False, []),
        ("42a", False, []),
        ("1.2.3.4", False, []),
        ("9" * 40, False, []),
    ],
)
def test_numbers_are_read_with_separators_signs_and_currency(text, comma, expected):
    assert values(_values.numbers(Habits(decimal_comma=comma)), text) == expected


def test_whole_numbers_and_percentages_are_read_where_asked_for():
    assert values(_values.numbers(UNKNOWN, whole=True), "2 of 2.5") == [2]
    assert values(_values.numbers(UNKNOWN, percent=True), "20 %") == [20]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("EUR 5", ["EUR"]), ("€5 or £4", ["EUR", "GBP"]), ("US$ 3", ["USD"]), ("$3 and ¥4", []), ("THE SUM", [])],
)
def test_currencies_are_codes_or_signs_of_one_country(text, expected):
    assert values(_values.currencies, text) == expected


@pytest.mark.parametrize(
    ("reader", "text", "expected"),
    [
        (_values.emails, "write to a.b+c@x-y.example, please", ["a.b+c@x-y.example"]),
        (_values.emails, "no@place", []),
        (_values.uris, "see https://example.org/a?b=c.", ["https://example.org/a?b=c"]),
        (_values.phones, "Tel +44 20 7946 0000", ["+44 20 7946 0000"]),
        (_values.identifiers, "No. INV-2026/42.", ["INV-2026/42"]),
        (_values.truths, "Paid: yes, sent: No", [True, False]),
        (_values.truths, "☑ agreed ☐ refused", [True, False]),
        (_values.truths, "nothing", []),
        (_values.datetimes, "at 2026-03-05T10:00:00Z and 2026-03-05 10:00", ["2026-03-05T10:00:00Z"]),
        (_values.choices(("in_progress", "done")), "It is In Progress", ["in_progress"]),
        (_values.choices(("net", "net 30")), "terms: Net 30", ["net 30"]),
        (_values.choices((1, 2, None)), "level 2", [2]),
    ],
)
def test_forms_are_read(reader, text, expected):
    assert values(reader, text) == expected
