"""Reports about a cache: numbers, findings, tables, terminal and page."""
