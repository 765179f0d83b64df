"""The command line `pnp`: one module a verb, with its arguments and its action side by side."""
