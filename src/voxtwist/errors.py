"""Errors that are the user's to mend: printed as one message, never as a stack trace."""


class VoxtwistError(Exception):
    """Bad input or settings. The message names the file, row, field or parameter and what to do."""
