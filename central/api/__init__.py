"""REST under /api/v1: one table of routes, from which the OpenAPI document is made."""
