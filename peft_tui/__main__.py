"""`python -m peft_tui`"""

import sys


def main() -> int:
    """The entry point."""
    from peft_tui.cli.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
