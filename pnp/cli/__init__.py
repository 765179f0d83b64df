"""The command line `pnp`: parser and outcome, and one module a verb."""
