"""The figures that administrators look at, computed from the ledger: pure, but for what ``ledger`` reads for them."""
