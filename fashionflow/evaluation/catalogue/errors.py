"""What ends a catalogue. What goes wrong with one clip does not: it is in the clip's row."""


class CatalogueError(ValueError):
    """The catalogue cannot be made, or not further. The message says why in one sentence, and what to do."""
