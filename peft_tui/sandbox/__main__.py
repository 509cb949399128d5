"""`python -m peft_tui.sandbox`."""

import sys

from peft_tui.sandbox.cli import main

if __name__ == "__main__":
    sys.exit(main())
