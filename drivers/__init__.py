"""How a device speaks: one module a device, pure byte codecs in ``drivers.wire``. Knows no ward and no database."""
