"""What the stories of faults are made of: a device without a link, a worker that dies on request, a judge."""
