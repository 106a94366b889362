"""Where a process may die: between any two steps that matter. A nemesis arms a point, the step there kills."""


class Killed(BaseException):
    """The process is gone at this point; only what its disk holds remains. No handler of errors may stop it."""


class Perils:
    """One node's. ``passed`` counts every step, so that a test can see that the points are on the way."""

    def __init__(self) -> None:
        self._armed: dict[str, int] = {}
        self.passed: dict[str, int] = {}

    def arm(self, point: str, passes: int) -> None:
        """Die at the ``passes``-th time from now that ``point`` is passed."""
        self._armed[point] = passes

    def disarm(self) -> None:
        self._armed.clear()

    def point(self, name: str) -> None:
        """Raises Killed if it is armed and due."""
        self.passed[name] = self.passed.get(name, 0) + 1
        left = self._armed.get(name)
        if left is None:
            return
        if left > 1:
            self._armed[name] = left - 1
            return
        self._armed.clear()
        raise Killed(name)
