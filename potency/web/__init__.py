"""The web tool: pages of the same verbs for people without code, each with a JSON twin, and long work in a queue."""
