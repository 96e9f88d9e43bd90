"""The C sources that ship inside every emitted library, and the runner for emulators and boards."""
