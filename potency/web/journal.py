"""What server and workers write to their logs: where they failed, never a word that could come from a file."""

from __future__ import annotations

import logging
import traceback
import warnings

OURS = ("potency", "uvicorn")


class Discreet(logging.Formatter):
    """Lines of the program in full, those of libraries by their name alone; of an error its kind and its places.

    The words of an error may quote a name, a label or a patient's tag: they are left out, as is what libraries say.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One record as text (of `logging.Formatter`)."""
        own = record.name.partition(".")[0] in OURS
        said = record.getMessage() if own and not record.exc_info else str(record.msg) if own else "(said something)"
        lines = [f"{self.formatTime(record)} {record.levelname} {record.name}: {said.partition(chr(10))[0]}"]
        error = record.exc_info[1] if record.exc_info else None
        while error is not None:
            for place in traceback.extract_tb(error.__traceback__):
                lines.append(f"  {place.filename}:{place.lineno} {place.name}")
            lines.append(f"  {type(error).__module__}.{type(error).__qualname__}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\n".join(lines)


def begin() -> None:
    """Write warnings and worse to stderr, in this way; warnings of libraries are not written at all."""
    written = logging.StreamHandler()
    written.setFormatter(Discreet())
    root = logging.getLogger()
    root.handlers[:] = [written]
    root.setLevel(logging.WARNING)
    warnings.simplefilter("ignore")
