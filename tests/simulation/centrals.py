"""Every central there is: the one that counts, and older ones that somebody forgot to stop."""

from tests.simulation.central_node import CentralNode


class Centrals:
    """``main``: the one that counts."""

    def __init__(self, main: CentralNode) -> None:
        self.main = main
        self.all = [main]

    def add(self, node: CentralNode, *, is_main: bool) -> None:
        self.all.append(node)
        if is_main:
            self.main = node

    def look(self) -> None:
        """Raises Violation."""
        for node in self.all:
            node.watch.look()

    def heal(self) -> None:
        """A person stops those that are too many."""
        for node in self.all:
            if node is not self.main:
                node.retire()
        self.main.perils.disarm()
        self.main.around.scheduler.after(0, self.main, "boot")

    def close(self) -> None:
        for node in self.all:
            node.books.close()
