"""The proof of "exactly once, and stopped means stopped": faults, kills, random lives and crowds.

Each is compared with what the sandbox bills. `python -m tests.proof` is the long form; a part is in the suite.
"""
