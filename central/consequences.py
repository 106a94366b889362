"""What a commit of the ledger brings about besides its facts, in order. Said here once, for central and its tests."""

from central.connectors.platform_queue import enqueue_platform_tasks
from central.connectors.queue import enqueue_sales
from central.ledger.write import Ledger
from central.stock.base_stock import settle_replenishments
from central.stock.counts import check_counts
from central.stock.fulfilment import settle_orders
from central.stock.handouts import follow_hand_outs
from central.stock.overtaken import doubt_overtaken
from central.stock.recall_items import HAPPENS, believe, settle_recalls
from central.stock.receiving import settle_notes
from central.stock.stocktake import settle_stocktakes
from central.stock.transfers import settle_transfers
from central.stock.usage import settle_usages
from sync_protocol.facts import What


def establish(ledger: Ledger) -> None:
    """Every commit from now on: what is done before a fact is folded, and what follows from all of them."""
    ledger.prepare(believe, before=HAPPENS)
    ledger.prepare(follow_hand_outs, before=(What.DISPENSED,))
    ledger.follow(
        doubt_overtaken,
        settle_usages,
        settle_notes,
        settle_recalls,
        settle_orders,
        settle_transfers,
        enqueue_sales,
        check_counts,
        settle_stocktakes,
        settle_replenishments,
        enqueue_platform_tasks,
    )
