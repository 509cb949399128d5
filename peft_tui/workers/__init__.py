"""The only callers of drivers: loops that observe, carry out what was asked for, and look things up."""
