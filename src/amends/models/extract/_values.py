"""Recognises values in text: dates, numbers, money, addresses of the net, choices. Each says where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

__all__ = [
    "CURRENCY_CODES",
    "MONTHS",
    "Found",
    "Habits",
    "Reader",
    "choices",
    "currencies",
    "dates",
    "datetimes",
    "emails",
    "habits_of",
    "identifiers",
    "numbers",
    "phones",
    "truths",
    "uris",
]


class Found(NamedTuple):
    """A value and where it stands in the text that was searched, end exclusive."""

    value: Any
    start: int
    end: int


Reader = Callable[[str], Iterator[Found]]
"""Yields every value of one sort in a text, from left to right."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How a document writes what can be read in two ways. None: it does not tell.

    day_first: whether 03/04 is the third of April. decimal_comma: whether 1.234 is a thousand and more.
    """

    day_first: bool | None = None
    decimal_comma: bool = False


# Dates ---------------------------------------------------------------------------------------------------------------

_MONTHS = (
    "january jan januar janvier",
    "february feb februar février fevrier",
    "march mar märz mars",
    "april apr avril",
    "may mai",
    "june jun juni juin",
    "july jul juli juillet",
    "august aug août aout",
    "september sep sept septembre",
    "october oct oktober okt octobre",
    "november nov novembre",
    "december dec dezember dez décembre",
)
_MONTH_OF = {name: number for number, names in enumerate(_MONTHS, start=1) for name in names.split()}
MONTHS = frozenset(_MONTH_OF)
_MONTH = "|".join(sorted(_MONTH_OF, key=len, reverse=True))
_DATE = re.compile(
    rf"""(?<![\w.])(?:
      (?P<y1>\d{{4}})[-/.](?P<m1>\d{{1,2}})[-/.](?P<d1>\d{{1,2}})
    | (?P<d2>\d{{1,2}})(?:st|nd|rd|th|\.)?[\ -]?(?:of\ )?(?P<m2>{_MONTH})\.?,?[\ -]?(?P<y2>\d{{4}})
    | (?P<m3>{_MONTH})\.?\ (?P<d3>\d{{1,2}})(?:st|nd|rd|th)?,?\ (?P<y3>\d{{4}})
    | (?P<a>\d{{1,2}})(?P<sep>[./-])(?P<b>\d{{1,2}})(?P=sep)(?P<y4>\d{{4}}|\d{{2}})
    )(?![\w/-]|\.\d)""",
    re.VERBOSE | re.IGNORECASE,
)
_DATETIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d:\d\d)")


def dates(habits: Habits) -> Reader:
    """Read dates as ``YYYY-MM-DD``. One that could be of two days (03/04/2026) is read only where the document tells."""

    def read(text: str) -> Iterator[Found]:
        for match in _DATE.finditer(text):
            if value := _date(match, habits):
                yield Found(value.isoformat(), match.start(), match.end())

    return read


def _date(match: re.Match[str], habits: Habits) -> date | None:
    part = match.groupdict()
    try:
        if part["y1"]:
            return date(int(part["y1"]), int(part["m1"]), int(part["d1"]))
        if part["y2"]:
            return date(int(part["y2"]), _MONTH_OF[part["m2"].lower()], int(part["d2"]))
        if part["y3"]:
            return date(int(part["y3"]), _MONTH_OF[part["m3"].lower()], int(part["d3"]))
        day_first = _day_first(int(part["a"]), int(part["b"]), part["sep"], habits)
        if day_first is None:
            return None
        day, month = (part["a"], part["b"]) if day_first else (part["b"], part["a"])
        return date(_full_year(part["y4"]), int(month), int(day))
    except ValueError:  # 31 February
        return None


def _day_first(a: int, b: int, separator: str, habits: Habits) -> bool | None:
    if separator == "." or a > 12 or a == b:
        return True
    return False if b > 12 else habits.day_first


def _full_year(year: str) -> int:
    """Two digits are of the years 1970 to 2069."""
    if len(year) == 4:
        return int(year)
    return int(year) + (1900 if int(year) >= 70 else 2000)


def datetimes(text: str) -> Iterator[Found]:
    """Read moments that name their offset, as RFC 3339 writes them."""
    for match in _DATETIME.finditer(text):
        raw = match[0].upper().replace(" ", "T")
        try:
            yield Found(datetime.fromisoformat(raw).isoformat().replace("+00:00", "Z"), match.start(), match.end())
        except ValueError:
            continue


def habits_of(text: str) -> Habits:
    """Tell from the clear cases how a document writes the unclear ones."""
    firsts = [(int(m["a"]), int(m["b"])) for m in _DATE.finditer(text) if m["a"] and m["sep"] != "."]
    day, month = any(a > 12 for a, _ in firsts), any(b > 12 for _, b in firsts)
    commas, points = len(re.findall(r"\d,\d\d(?![\d,.])", text)), len(re.findall(r"\d\.\d\d(?![\d,.])", text))
    return Habits(day if day != month else None, commas > points)


# Numbers and money ---------------------------------------------------------------------------------------------------

_NUMBER = re.compile(
    r"""(?<![\w.,])(?<!\w[-−])               # not within a word, a number or a code such as INV-42
    (?P<sign>[-−(]\s?)?[$€£¥]?\s?
    (?P<digits>\d{1,3}(?:[\ '’\u00a0\u202f]\d{3})+(?:[.,]\d+)?|\d[\d.,]*)
    (?!\w|[-/]\d)                            # nor the beginning of a date""",
    re.VERBOSE,
)
_PERCENT = re.compile(r"\s?%")
_SYMBOLS = {"€": "EUR", "£": "GBP", "US$": "USD", "C$": "CAD", "A$": "AUD", "₹": "INR", "CHF": "CHF"}
CURRENCY_CODES = {
    "AED", "ARS", "AUD", "BGN", "BRL", "CAD", "CHF", "CLP", "CNY", "COP", "CZK", "DKK", "EGP", "EUR",
    "GBP", "HKD", "HUF", "IDR", "ILS", "INR", "ISK", "JPY", "KRW", "MAD", "MXN", "MYR", "NGN", "NOK",
    "NZD", "PHP", "PKR", "PLN", "RON", "RSD", "SAR", "SEK", "SGD", "THB", "TRY", "TWD", "UAH", "USD",
    "VND", "ZAR",
}  # fmt: skip
_CURRENCY = re.compile(r"(?<![A-Za-z])([A-Z]{3})(?![A-Za-z])|US\$|C\$|A\$|[€£₹]")


def numbers(habits: Habits, *, whole: bool = False, percent: bool = False) -> Reader:
    """Read numbers; money's sign and a thousands separator are not part of the value.

    whole: integers only. percent: also those before a ``%``, which otherwise are the rate and not the amount.
    """

    def read(text: str) -> Iterator[Found]:
        for match in _NUMBER.finditer(text):
            digits = match["digits"].rstrip(".,")
            value = _number(digits, habits)
            if value is None or (whole and value != int(value)):
                continue
            start, end = match.start("digits"), match.start("digits") + len(digits)
            if not percent and _PERCENT.match(text, end):
                continue
            bracketed = (match["sign"] or "").startswith("(")
            if match["sign"] and (not bracketed or text[end : end + 1] == ")"):  # accountants write -5 as (5)
                value, start, end = -value, match.start("sign"), end + bracketed
            yield Found(int(value) if value == int(value) else float(value), start, end)

    return read


def _number(digits: str, habits: Habits) -> Decimal | None:
    digits = re.sub(r"['’\u00a0\u202f ]", "", digits)
    decimal = _decimal_mark(digits, habits)
    whole, _, fraction = digits.rpartition(decimal) if decimal else (digits, "", "")
    if not re.fullmatch(r"\d{1,15}|\d{1,3}(?:[.,]\d{2,3}){0,5}[.,]\d{3}", whole) or len({*whole} - {*"0123456789"}) > 1:
        return None  # 1.2.3 is a version, and 1.234,567.89 nothing
    return Decimal(re.sub("[.,]", "", whole) + ("." + fraction[:15] if fraction else ""))


def _decimal_mark(digits: str, habits: Habits) -> str:
    """The mark before the fraction, "" where there is none."""
    comma, point = digits.rfind(","), digits.rfind(".")
    if comma >= 0 and point >= 0:
        return "," if comma > point else "."
    mark = "," if comma >= 0 else "."
    if digits.count(mark) != 1:
        return ""
    three = (
        len(digits) - digits.index(mark) == 4 and digits[0] != "0"
    )  # 1,234 or 1.234: a thousand, or a bit more than 1?
    return "" if three and (mark == ",") != habits.decimal_comma else mark


def currencies(text: str) -> Iterator[Found]:
    """Read ISO 4217 codes, and the signs that stand for one currency only: a bare $ or ¥ is of several countries."""
    for match in _CURRENCY.finditer(text):
        code = match[1] or _SYMBOLS[match[0]]
        if code in CURRENCY_CODES:
            yield Found(code, match.start(), match.end())


# Strings of a known form ---------------------------------------------------------------------------------------------

_EMAIL = re.compile(r"(?<![\w.+-])[A-Za-z0-9_+-][\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])")
_URI = re.compile(r"(?<!\w)https?://[^\s<>\"'(){}|\\^`]{1,2000}", re.IGNORECASE)
_PHONE = re.compile(r"(?<![\w.])(?:\+|\(|0)[\d\s()./-]{6,22}\d(?!\w)|(?<![\w.])\d{3}[-. ]\d{3,4}[-. ]\d{2,4}(?!\w)")
_IDENTIFIER = re.compile(r"(?<![\w/.-])(?=[\w/.-]*\d)[A-Za-z0-9][\w/.-]*(?<![.-])")


def _plain(pattern: re.Pattern[str]) -> Reader:
    def read(text: str) -> Iterator[Found]:
        for match in pattern.finditer(text):
            value = match[0].rstrip(".,;:!?)")
            yield Found(value, match.start(), match.start() + len(value))

    return read


emails: Reader = _plain(_EMAIL)
uris: Reader = _plain(_URI)
phones: Reader = _plain(_PHONE)
identifiers: Reader = _plain(_IDENTIFIER)

_TRUTHS = {"yes": True, "true": True, "y": True, "ja": True, "oui": True, "[x]": True, "☑": True, "☒": True, "✓": True}
_TRUTHS |= {"no": False, "false": False, "n": False, "nein": False, "non": False, "[ ]": False, "☐": False}
_TRUTH = re.compile(
    r"(?<!\w)(?:" + "|".join(re.escape(word) for word in sorted(_TRUTHS, key=len, reverse=True)) + r")(?!\w)",
    re.IGNORECASE,
)


def truths(text: str) -> Iterator[Found]:
    """Read yes and no, true and false, and ticked and empty boxes."""
    for match in _TRUTH.finditer(text):
        yield Found(_TRUTHS[match[0].lower()], match.start(), match.end())


def choices(values: tuple[Any, ...]) -> Reader:
    """Read any of the values of an ``enum``, in any case, underscores as spaces; longer ones before their parts."""
    said = {str(value).replace("_", " ").casefold(): value for value in values if isinstance(value, str | int | float)}
    options = "|".join(re.escape(text).replace(r"\ ", r"[ _-]") for text in sorted(said, key=len, reverse=True) if text)
    pattern = re.compile(rf"(?<!\w)(?:{options})(?!\w)", re.IGNORECASE)

    def read(text: str) -> Iterator[Found]:
        for match in pattern.finditer(text) if options else ():
            key = re.sub("[ _-]", " ", match[0]).casefold()
            value = said.get(key, said.get(match[0].casefold()))
            if value is not None:
                yield Found(value, match.start(), match.end())

    return read
