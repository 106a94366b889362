"""What the values of stocktakes and base stock are called on their pages, and what these refuse."""

from collections.abc import Mapping

from central.console.message import message
from central.stock.base_stock import Replenishing
from central.stock.stocktake import LineState

STOCKTAKE_LINES: Mapping[str, str] = {
    LineState.WAITING: message("not counted yet"),
    LineState.RECOUNT: message("to count again"),
    LineState.AGREED: message("object and code agree"),
    LineState.POSTED: message("posted"),
}
REPLENISHING: Mapping[str, str] = {
    Replenishing.REQUESTED: message("requested"),
    Replenishing.RECEIVED: message("arrived in full"),
    Replenishing.CANCELLED: message("cancelled"),
}
