"""The one exception that is shown to people."""


class LensError(Exception):
    """A mistake the user can mend, told in one sentence: what was wrong, where, and what to do.

    The entry points print the sentence without a traceback and exit with status 2.
    """
