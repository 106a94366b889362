"""A broker and a central as real processes."""

from tests.integration.central_core.conftest import central

__all__ = ["central"]
