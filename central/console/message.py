"""Message ids of the console that stand in tables: English, and gathered into the catalogue by their mark."""


def message(text: str) -> str:
    """Marks a message id for the catalogue; the page translates it when it is shown."""
    return text
