"""The posting core: records, codes, tables and the ledger, compiled by Cython."""
