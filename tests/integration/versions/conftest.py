"""A broker and a central as real processes."""

from tests.integration.central_core.conftest import broker, central

__all__ = ["broker", "central"]
