"""What goes wrong in a way that the user can do something about."""


class ModelError(Exception):
    """The model cannot be used as it is here; the message is one line."""
