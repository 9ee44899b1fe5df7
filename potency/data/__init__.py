"""Images, tables of samples, plans and tiles: everything that goes into learning, without torch."""
