"""The one exception that a user's mistake may raise."""


class UserError(Exception):
    """Bad input: one line that names the file or key, what was found and what was expected.

    The command line prints it without a traceback and exits with code 1.
    """


class LostError(UserError):
    """The machine took away what a job needs, such as its GPU: the job may be tried again, here or elsewhere."""
