"""`python -m found_platform.cli` is `found`."""

from found_platform.cli import main

main()
