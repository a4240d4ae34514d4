"""What the command line says instead of a traceback."""


class SynthesisError(Exception):
    """Something that whoever runs the tool can put right: its message is one plain sentence that says how."""
