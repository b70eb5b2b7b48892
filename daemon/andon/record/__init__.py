"""The record, asked: read-only questions over the ledger, the lineage of a change, and how steps are walked backwards."""
