"""Stories of faults: `./run chaos NAME`. Each counts what it did; its judge shares no code with the product."""
