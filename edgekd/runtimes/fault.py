"""The error that a job reports as one sentence instead of a traceback."""


class Fault(Exception):
    """Something that the sender of the job can do something about; the message says what."""
