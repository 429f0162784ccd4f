"""`python -m voxtwist`."""

from voxtwist.cli.main import main

main()
