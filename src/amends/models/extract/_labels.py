"""Labels: what a document may call a property, and how well a label found on a page fits one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ._values import CURRENCY_CODES

__all__ = ["KNOWN", "SORTS", "Label", "concepts", "fit", "label_of", "prompt_labels"]

_SYNONYMS = {
    "number": "no nr num nos number # № nº id reference ref code nummer numéro",
    "total": "total gesamt gesamtbetrag sum summe",
    "amount": "amount betrag montant",
    "subtotal": "subtotal sub-total net netto zwischensumme sous-total",
    "tax": "tax vat mwst gst tva ust",
    "date": "date dated datum",
    "due": "due payable deadline fällig",
    "invoice": "invoice bill rechnung facture inv",
    "order": "order po bestellung",
    "customer": "customer client buyer kunde bill-to billed-to sold-to recipient",
    "vendor": "vendor supplier seller merchant issuer company from lieferant",
    "quantity": "quantity qty count units menge anzahl",
    "price": "price rate cost unit-price preis",
    "item": "item description product article service artikel beschreibung designation",
    "email": "email e-mail mail emails",
    "phone": "phone telephone tel mobile telefon",
    "website": "website url web homepage link site",
    "name": "name names",
    "currency": "currency währung",
    "address": "address adresse anschrift",
}
KNOWN = frozenset(_SYNONYMS)
"""Words that labels are made of."""

SORTS = frozenset(
    {"date", "email", "phone", "website", "currency", "address", "number", "time", "contact", "page", "link"}
)
"""Words of labels that say what sort of value it is, and not whose."""

_CONCEPT_OF = {word: concept for concept, words in _SYNONYMS.items() for word in words.split()}
_PHRASES = (
    (re.compile(r"\b(bill(?:ed)?|sold|invoice[d]?|ship(?:ped)?) to\b"), "customer"),
    (re.compile(r"\b(?:balance|amount|total) (?:due|payable)\b"), "total"),
    (re.compile(r"\btotal (?:amount )?(?:excl\w*|before|without|net of|ex)\.? (?:vat|tax\w*|gst|mwst)\b"), "subtotal"),
    (re.compile(r"\btotal (?:amount )?(?:incl\w*|with|after)\.? (?:vat|tax\w*|gst|mwst)\b"), "total"),
    (re.compile(r"\bgrand total\b|\btotal amount\b|\bamount total\b"), "total"),
    (re.compile(r"\bsub[ -]total\b"), "subtotal"),
    (re.compile(r"\b(?:pay(?:able)?|due|payment due) (?:by|on|before)\b|\bpayment due\b(?! date)"), "due date"),
    (re.compile(r"\be[ -]mail\b"), "email"),
    (re.compile(r"\bunit (?:price|cost)\b|\bprice (?:each|per unit)\b"), "price"),
)
_EMPTY_WORDS = frozenset(
    {
        "the",
        "a",
        "an",
        "of",
        "your",
        "our",
        "this",
        "for",
        "in",
        "is",
        "and",
        "are",
        "s",
        "am",
        "vom",
        "der",
        "die",
        "das",
        "du",
        "des",
        "de",
    }
)
_WEAK = frozenset({"name", "amount", "value", "full", "address", "number"})
"""Words that a document leaves out: "Customer" stands for customer_name, "Invoice" for invoice_number."""

_OF_MONEY = frozenset(
    {"invoice", "order", "amount", "price", "due", "value", "gross", "brutto", "ttc", "currency", "payment"}
)
"""What a total may be of, to be the total: "Total weight" is another thing."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?|[#№]")
_PERCENTAGE = re.compile(r"(?<![\d.,])\d[\d.,]*\s?%")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def concepts(text: str) -> frozenset[str]:
    """Return the meaning of a label as a set of words, with synonyms made one."""
    text = _PERCENTAGE.sub(" ", text.lower().replace("_", " ")).strip()
    for pattern, concept in _PHRASES:
        text = pattern.sub(concept, text)
    words = (_CONCEPT_OF.get(word, word) for word in _WORD.findall(text))
    return frozenset(_singular(word) for word in words if word not in _EMPTY_WORDS)


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


@dataclass(frozen=True, slots=True)
class Label:
    """What a property may be called. names: each the concepts of one way to say it; within: those of the object around it."""

    names: tuple[frozenset[str], ...]
    within: frozenset[str] = frozenset()

    @property
    def words(self) -> frozenset[str]:
        return self.within.union(*self.names)


def label_of(name: str, hints: Iterable[str] = (), within: str = "") -> Label:
    """Return the label of a property: its name, its title and description where short, and what the prompt calls it."""
    spoken = (_CAMEL.sub(" ", name), *hints)
    names = tuple(dict.fromkeys(found for text in spoken if (found := concepts(text))))
    return Label(names, concepts(_CAMEL.sub(" ", within)))


def fit(found: frozenset[str], label: Label, heading: frozenset[str] = frozenset()) -> float:
    """Return how well the concepts of a label on the page fit, from 0 (not at all) to 1 (word for word).

    heading: the concepts of the heading above, which may stand for the object around the property.
    """
    best = max((_fit_name(found, name, label.within) for name in label.names), default=0.0)
    if best and label.within and label.within <= heading:
        return min(1.0, best + 0.15)
    return best


def _fit_name(found: frozenset[str], name: frozenset[str], within: frozenset[str]) -> float:
    if within:
        whole = name | within
        return 1.0 if found == whole else max(0.8 * _overlap(found, name), 0.9 * _overlap(found, whole))
    return _overlap(found, name)


def _overlap(found: frozenset[str], wanted: frozenset[str]) -> float:
    common = found & wanted
    if not common:
        return 0.0
    if found == wanted:
        return 1.0
    if found ^ wanted <= _WEAK and common - _WEAK:
        return 0.85
    if wanted == {"total"} and any(word not in _OF_MONEY and not _is_currency(word) for word in found - wanted):
        return 0.0
    if wanted <= found:
        return 0.5 + 0.3 * len(wanted) / len(found)
    if found <= wanted and common - _WEAK and len(found) * 2 >= len(wanted):
        return 0.45
    return 0.0


def _is_currency(word: str) -> bool:
    return word.upper() in CURRENCY_CODES


def prompt_labels(prompt: str | None, name: str) -> tuple[str, ...]:
    """Return what the prompt says a property is called on the page: ``total: Amount payable``, ``total is "Zahlbetrag"``."""
    if not prompt:
        return ()
    spoken = "|".join({re.escape(name), re.escape(name.replace("_", " "))})
    means = r"\s*(?:[:=]|\b(?:is|are|means|stands)\b)\s*(?:\b(?:called|labelled|labeled|named|under|at|by|the)\b\s*)*"
    pattern = re.compile(
        rf"(?<!\w)[`\"']?(?:{spoken})[`\"']?(?!\w){means}[\"'“‘`]?([^\"'”’`\n.,;:]{{2,60}})", re.IGNORECASE
    )
    return tuple(match[1].strip() for match in pattern.finditer(prompt))
