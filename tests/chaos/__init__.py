"""Stories of faults: `./run chaos NAME`. Each counts what it did and is judged by programs that share no code with the product."""
