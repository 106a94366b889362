"""What roles are called, what they may, and what the log of people says and refuses."""

from collections.abc import Mapping

from central.console.message import message
from central.stock.roles import Role

ROLES: Mapping[str, str] = {
    Role.MANAGER: message("manager"),
    Role.ADMINISTRATOR: message("administrator"),
}
ROLES_MAY: Mapping[str, str] = {
    Role.MANAGER: message(
        "recalls, writes off and releases, closes notes and requisitions, posts stocktakes, sets par levels"
    ),
    Role.ADMINISTRATOR: message("people and roles, devices, leases, the end of a refill"),
}
PERSON_CHANGES: Mapping[str, str] = {
    "created": message("added as"),
    "name": message("named"),
    "badge": message("got the badge"),
    "pin": message("got a new PIN"),
    "active": message("may sign in"),
    "inactive": message("may not sign in any more"),
    "role_given": message("got the role"),
    "role_taken": message("lost the role"),
}
