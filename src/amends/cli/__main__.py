"""``python -m amends.cli``."""

from amends.cli import main

main()
