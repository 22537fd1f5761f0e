from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from amends.problems import ProblemError
from amends.server.guesses import FORGOTTEN_SECONDS, FREE, LONGEST_SECONDS, Guesses, Name, delay_after, network_of
from amends.server.passwords import Passwords

ACCOUNT = Name("account", "ada@example.org")
ADDRESS = Name("address", "192.0.2.1")


def test_each_wrong_guess_beyond_the_free_ones_doubles_the_wait_up_to_a_minute() -> None:
    guesses, now, waits = Guesses(), 0.0, []
    for _ in range(FREE["account"] + 1):
        assert guesses.begin([ACCOUNT], now) == 0.0
    for _ in range(8):
        waits.append(guesses.begin([ACCOUNT], now))
        now += waits[-1]
        assert guesses.begin([ACCOUNT], now) == 0.0
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, LONGEST_SECONDS, LONGEST_SECONDS]


def test_a_right_guess_forgets_the_account_but_not_the_address() -> None:
    guesses = Guesses()
    for number in range(FREE["address"]):
        assert guesses.begin([Name("account", str(number)), ADDRESS], 0.0) == 0.0
    assert guesses.begin([ACCOUNT, ADDRESS], 0.0) == 0.0
    guesses.right([ACCOUNT, ADDRESS])
    assert guesses.begin([Name("account", "other"), ADDRESS], 0.0) == 0.0
    assert guesses.begin([ACCOUNT, ADDRESS], 0.0) > 0.0


def test_what_was_quiet_for_long_is_forgotten() -> None:
    guesses = Guesses()
    while guesses.begin([ACCOUNT], 0.0) == 0.0:
        pass
    assert guesses.begin([ACCOUNT], FORGOTTEN_SECONDS) == 0.0


def test_a_crowd_costs_leniency_and_not_memory() -> None:
    guesses = Guesses(most=100)
    for number in range(1_000):
        guesses.begin([Name("account", str(number))], float(number))
        assert len(guesses._records) <= 100


@given(wrong=st.integers(0, 10**6), free=st.integers(0, 100))
def test_a_delay_never_shrinks_and_never_exceeds_a_minute(wrong: int, free: int) -> None:
    assert 0.0 <= delay_after(wrong, free) <= delay_after(wrong + 1, free) <= LONGEST_SECONDS


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("somewhere", "somewhere"),
    ],
)
def test_an_address_of_ipv6_stands_for_its_network(address: str, network: str) -> None:
    assert network_of(address) == network


def quick() -> Passwords:
    return Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def test_a_password_is_the_same_however_it_was_typed() -> None:
    async def compare() -> list[bool]:
        passwords = quick()
        stored = await passwords.hash("caf\u00e9 au lait")
        found = [
            await passwords.is_right(stored, given)
            for given in ("cafe\u0301 au lait", "CAF\u00c9 AU LAIT", "cafe au lait")
        ]
        found.append(await passwords.is_right("no hash at all", "cafe au lait"))
        passwords.close()
        return found

    assert asyncio.run(compare()) == [True, False, False, False]


def test_an_unknown_account_takes_as_much_work_as_a_known_one() -> None:
    """Counted in comparisons, since times on a busy machine tell nothing."""

    class Counting(PasswordHasher):
        compared = 0

        def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
            Counting.compared += 1
            return super().verify(hash, password)

    async def compare() -> list[int]:
        passwords = Passwords(Counting(time_cost=1, memory_cost=8, parallelism=1))
        stored = await passwords.hash("somebody's")
        counts = []
        for known in (stored, None):
            before = Counting.compared
            assert not await passwords.is_right(known, "a guess at it")
            counts.append(Counting.compared - before)
        passwords.close()
        return counts

    known, unknown = asyncio.run(compare())
    assert known == unknown == 1


def test_a_server_takes_its_time() -> None:
    """What the tests are spared. In a process of its own, which they have not spared."""
    code = (
        "import asyncio\nfrom amends.server.passwords import Passwords\npasswords = Passwords()\n"
        "print(asyncio.run(passwords.hash('somebody')))\npasswords.close()\n"
    )
    stored = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_passwords_made_with_other_parameters_are_outdated() -> None:
    async def made() -> tuple[bool, bool]:
        old, new = quick(), Passwords(PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
        stored = await old.hash("somebody's")
        found = (old.is_outdated(stored), new.is_outdated(stored))
        old.close()
        new.close()
        return found

    assert asyncio.run(made()) == (False, True)


def test_a_crowd_at_the_door_is_asked_to_come_again() -> None:
    async def crowd() -> int:
        passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        waiting = [asyncio.ensure_future(passwords._beside(lambda: time.sleep(0.02))) for _ in range(70)]
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        passwords.close()
        refused = [one for one in answers if isinstance(one, ProblemError)]
        assert {one.problem.slug for one in refused} == {"service_unavailable"}
        return len(refused)

    assert asyncio.run(crowd()) == 6
