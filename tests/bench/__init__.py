"""What peft-tui costs, always beside something comparable in the same run: `python -m tests.bench`."""
