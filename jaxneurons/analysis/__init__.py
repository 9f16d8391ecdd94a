"""From a study's arrays to its findings: tables, summary.json and figures, layer by layer in memory."""
