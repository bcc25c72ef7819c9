"""The figures of docs/measured.md, each by one command."""
