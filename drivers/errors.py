"""What can go wrong at a device, split by what the caller will do about it."""


class DriverError(Exception):
    """Root of every error that a driver raises."""


class DriverConfigError(DriverError):
    """The configuration cannot work: unknown driver, missing library, bad URL. A person must change it."""


class DeviceGoneError(DriverError):
    """The device does not answer or its line is cut. The driver reconnects by itself; the caller may try again."""


class DeviceRefusedError(DriverError):
    """The device answered and said no (jammed lock, unknown canister). Trying again needs a person first."""
