"""The commands, one per file; installed, they are `jaxneurons.scripts`."""
