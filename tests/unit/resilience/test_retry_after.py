import pytest

from amends.resilience import parse_retry_after

NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110
YEAR = 366 * 86_400.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("007", 7),
        (" 5 ", 5),
        ("\t5", 5),
        ("1.5", 1.5),
        ("2.", 2),
        (".5", 0.5),
        ("99999999999", YEAR),
        ("9" * 90, YEAR),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10),
        ("Sun, 6 Nov 1994 08:49:47 GMT", 10),
        ("Sunday, 06-Nov-94 08:49:47 GMT", 10),
        ("Sun Nov  6 08:49:47 1994", 10),
        ("Sun Nov 06 08:49:47 1994", 10),
        ("sun, 06 nov 1994 08:49:47 gmt", 10),
        ("Sun, 06 Nov 1994 08:49:47 UTC", 10),
        ("Sun, 06 Nov 1994 08:49:47 +0000", 10),
        ("Sun, 06 Nov 1994 08:49:60 GMT", 22),
        ("Sun, 06 Nov 1994 08:49:36 GMT", 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Saturday, 01-Jan-00 00:00:00 GMT", YEAR),  # the next century is near
        ("Fri, 31 Dec 9999 23:59:59 GMT", YEAR),
        ("Friday, 31-Dec-99 23:59:59 GMT", YEAR),
        ("Sunday, 06-Nov-44 08:49:47 GMT", YEAR),  # 50 years ahead is still ahead
        ("Sunday, 06-Nov-45 08:49:47 GMT", 0),  # 51 would be, so it is the last century's
    ],
)
def test_seconds_and_dates_are_read(value: str, seconds: float) -> None:
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        ".",
        "-1",
        "-0",
        "+5",
        "1e3",
        "0x10",
        "1_000",
        "1,5",
        "5 s",
        "5s",
        "inf",
        "nan",
        "None",
        "٣",
        "５",
        "soon",
        "5\n",
        "5, 10",
        "9" * 10_000,
        "Sun, 06 Nov 1994 08:49:47",
        "Sun, 06 Nov 1994 08:49:47 EST",
        "Sun, 06 Nov 1994 08:49:47 +0100",
        "Sun, 31 Feb 1994 08:49:47 GMT",
        "Sun, 06 Abc 1994 08:49:47 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 00 Nov 1994 08:49:47 GMT",
        "Sun, 06 Nov 0000 08:49:47 GMT",
        "Sun, 06 Nov 94 08:49:47 GMT",
        "Sun Nov   08:49:47 1994",
        "1994-11-06T08:49:47Z",
    ],
)
def test_garbage_is_none(value: str) -> None:
    assert parse_retry_after(value, NOW) is None
