"""The one exception that a user's mistake may raise."""


class UserError(Exception):
    """Bad input: one line that names the file or key, what was found and what was expected.

    The command line prints it without a traceback and exits with code 1.
    """
