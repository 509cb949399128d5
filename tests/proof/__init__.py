"""The proof of "exactly once, and stopped means stopped": faults, kills, random lives and crowds.

Each is compared with what the sandbox bills. The long form is `python -m tests.proof`.
"""
