"""How tests look at the clock, on machines that are loaded and stand still now and then."""

import time

PATIENCE = 30  # seconds: what has not come by then does not come; less than what tests have their builders wait


class Late(Exception):
    """What was waited for did not come, or came too late each time."""


def wait_until(condition, what, seconds=PATIENCE):
    """Wait until condition() holds, and return what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Late(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def in_time(seconds, attempt, tries=3):
    """Whether attempt(), which does something and returns how long it took, keeps within seconds.

    For promises about time. A loaded machine is late now and then; what waits for the wrong thing is late every time.
    """
    spent = []
    while len(spent) < tries:
        spent.append(attempt())
        if spent[-1] < seconds:
            return
    raise Late(f"took {', '.join(f'{taken:.1f}' for taken in spent)} s, each time more than {seconds} s")
