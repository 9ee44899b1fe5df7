"""Correcting what a model said: masks and classes that people mend, step by step, and the rows that come of it."""
