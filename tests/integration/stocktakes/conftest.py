"""A broker and a central as processes."""

from tests.integration.recalls.conftest import house

__all__ = ["house"]
