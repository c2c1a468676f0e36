"""Keeping children's data out of git and off other machines: guard, anonymised copies, erasure."""
