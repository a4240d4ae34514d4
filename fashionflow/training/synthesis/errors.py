"""The error that the command line prints instead of a traceback."""


class SynthesisError(Exception):
    """An error that the user of the tool can correct. Its message is one plain sentence that says how."""
