"""Lets ``python -m gear_transfer`` do what the command gear-transfer does."""
import sys

from .cli import main

sys.exit(main())
