"""edgecompile beside other runtimes on this machine: `python -m scripts.bench --help`."""
